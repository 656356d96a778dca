"""Paired comparison of two evaluations of the same patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .case_metrics import METRICS
from .patients import paired_patient_means, patient_of
from .statistics import RESAMPLES, holm, paired_difference
from .tables import column

COMPARED = tuple(metric for metric in METRICS if metric.better)
# The questions asked beforehand: Holm's correction is over these. All others are there to look at, without it: over
# two dozen metrics that move together it would hide every difference that a small cohort can show.
PRIMARY = ("dice", "nsd_3mm", "hd95_mm", "coverage", "dice_superior_end", "dice_inferior_end")
VOLUME_STRATA_ML = (5.0, 30.0)  # below, between, above: small, middle, large targets


def volume_stratum(volume_ml: float) -> str:
    """Stratum of a reference volume: "no target", "< 5 ml", "5 to 30 ml" or "> 30 ml"."""
    small, large = VOLUME_STRATA_ML
    if volume_ml == 0:
        return "no target"
    if volume_ml < small:
        return f"< {small:g} ml"
    return f"{small:g} to {large:g} ml" if volume_ml <= large else f"> {large:g} ml"


STRATA = tuple(volume_stratum(volume) for volume in (0.0, 1.0, 10.0, 100.0))


def rows_by_stratum(rows: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """Rows by volume stratum, small to large, empty strata left out."""
    groups = {name: [row for row in rows if volume_stratum(row["volume_reference_ml"]) == name] for name in STRATA}
    return {name: group for name, group in groups.items() if group}


def compare_runs(
    rows: Sequence[Mapping],
    other_rows: Sequence[Mapping],
    name: str = "this run",
    other_name: str = "other run",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Compare two runs patient by patient.

    Signed errors (volume, end slices, centroid) are compared by their size. Holm's correction runs over the PRIMARY
    metrics, the others have none (p_holm NaN); the strata are descriptive (mean difference and interval, no test).

    Args:
        rows: rows of the run at hand (`case`, `patient` and the columns of `case_metrics`).
        other_rows: rows of the other run.
        name: of the run at hand.
        other_name: of the other run.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        {"name", "other_name", "n_cases", "n_patients", "seed", "resamples", "metrics": {metric: paired_difference +
        "p_holm", "better"}, "by_volume": {stratum: {"dice": ...}}, "cases": [{"case", "patient", "dice",
        "dice_other", "difference", ...}]}. Differences are this run minus the other.

    Raises:
        ValueError: the two runs do not hold the same patients with the same references, or a case twice.
    """
    rows, other_rows = _aligned(rows, other_rows, name, other_name)
    compared = {}
    for metric in COMPARED:
        pair = paired_patient_means(rows, _judged(rows, metric), _judged(other_rows, metric))
        compared[metric.name] = {"better": metric.better} | paired_difference(*pair, resamples=resamples, seed=seed)
    corrected = holm({metric: compared[metric]["p_wilcoxon"] for metric in PRIMARY})
    for metric, numbers in compared.items():
        numbers["p_holm"] = corrected.get(metric, float("nan"))
    others = {row["case"]: row for row in other_rows}
    strata = {
        stratum: paired_difference(
            *paired_patient_means(group, column(group, "dice"), column([others[row["case"]] for row in group], "dice")),
            resamples=resamples,
            seed=seed,
        )
        for stratum, group in rows_by_stratum(rows).items()
    }
    return {
        "name": name,
        "other_name": other_name,
        "n_cases": len(rows),
        "n_patients": len({patient_of(row) for row in rows}),
        "seed": seed,
        "resamples": resamples,
        "metrics": compared,
        "by_volume": {stratum: {"dice": numbers} for stratum, numbers in strata.items()},
        "cases": [_case_difference(row, others[row["case"]]) for row in rows],
    }


def _judged(rows: Sequence[Mapping], metric) -> np.ndarray:
    values = column(rows, metric.name)
    return np.abs(values) if metric.better == "zero" else values


def _case_difference(row: Mapping, other: Mapping) -> dict:
    return {
        "case": row["case"],
        "patient": patient_of(row),
        "volume_reference_ml": row["volume_reference_ml"],
        "dice": row["dice"],
        "dice_other": other["dice"],
        "difference": row["dice"] - other["dice"],
    }


def _aligned(rows, other_rows, name: str, other_name: str) -> tuple[list[Mapping], list[Mapping]]:
    """The rows of both runs in one order, after checking that they are about the same patients and references."""
    by_case, others = _by_case(rows, name), _by_case(other_rows, other_name)
    if set(by_case) != set(others):
        only_here, only_there = sorted(set(by_case) - set(others)), sorted(set(others) - set(by_case))
        raise ValueError(
            f"{name} and {other_name} hold different cases, so they cannot be compared pairwise: "
            f"only in {name}: {_some(only_here)}; only in {other_name}: {_some(only_there)}"
        )
    for case, row in by_case.items():
        _check_reference(row, others[case], name, other_name)
    order = sorted(by_case)
    return [by_case[case] for case in order], [others[case] for case in order]


def _check_reference(row: Mapping, other: Mapping, name: str, other_name: str) -> None:
    """By the hash of the mask where both rows have it, by the volume alone where one is of an older version."""
    volume, other_volume = row["volume_reference_ml"], other["volume_reference_ml"]
    if not np.isclose(volume, other_volume, rtol=0.01, atol=1e-6):
        raise ValueError(
            f"{row['case']}: the reference measures {volume:.2f} ml in {name} and {other_volume:.2f} ml in "
            f"{other_name}: evaluate both against the same labels on the same grid"
        )
    digest, other_digest = row.get("reference_sha256"), other.get("reference_sha256")
    if digest and other_digest and digest != other_digest:
        raise ValueError(
            f"{row['case']}: the reference ({volume:.2f} ml in {name}, {other_volume:.2f} ml in {other_name}) is "
            "another mask, or lies on another grid: evaluate both against the same labels on the same grid"
        )


def _by_case(rows: Sequence[Mapping], name: str) -> dict[str, Mapping]:
    by_case = {row["case"]: row for row in rows}
    if len(by_case) != len(rows):
        raise ValueError(f"{name} holds a case more than once")
    return by_case


def _some(cases: Sequence[str], most: int = 5) -> str:
    if not cases:
        return "none"
    return ", ".join(cases[:most]) + (f" and {len(cases) - most} more" if len(cases) > most else "")
