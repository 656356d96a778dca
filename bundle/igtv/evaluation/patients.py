"""From cases to patients: several cases of one are no independent evidence, so statistics take their mean."""

from collections.abc import Mapping, Sequence

import numpy as np

from .tables import column


def patient_of(row: Mapping) -> str:
    """The patient of a row; a table without that column has one case per patient."""
    return row.get("patient", row["case"])


def by_patient(rows: Sequence[Mapping], values: Sequence[float]) -> dict[str, float]:
    """Mean of one number per case over the cases of each patient.

    Args:
        rows: of the cases.
        values: one per row; NaN is left out, and a patient without any other value is NaN.

    Returns:
        Patient -> mean, in the order of their names.
    """
    own: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        own.setdefault(patient_of(row), []).append(value)
    return {patient: mean_of_defined(own[patient]) for patient in sorted(own)}


def patient_means(rows: Sequence[Mapping], values: Sequence[float]) -> np.ndarray:
    """The numbers of `by_patient` alone."""
    return np.array(list(by_patient(rows, values).values()), dtype=float)


def patient_column(rows: Sequence[Mapping], name: str) -> np.ndarray:
    """A column of the rows, averaged over the cases of each patient (see `patient_means`)."""
    return patient_means(rows, column(rows, name))


def paired_patient_means(
    rows: Sequence[Mapping], first: Sequence[float], second: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the cases of each patient in which both values are defined.

    Args:
        rows: of the cases.
        first, second: one value each per row.

    Returns:
        One number per patient of each, in the order of their names; NaN in both where no case has both.
    """
    first, second = np.array(first, dtype=float), np.array(second, dtype=float)
    first[np.isnan(second)] = second[np.isnan(first)] = np.nan
    return patient_means(rows, first), patient_means(rows, second)


def mean_of_defined(values: Sequence[float]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
