"""The numbers of all tests as one table, and its means and differences with bootstrap intervals.

The patient is the unit: repeats of a patient (seeds of the training, breathing cycles of the test) are averaged first,
then patients are resampled. That is the cluster bootstrap over patients with equal clusters. Of few patients the
percentile bootstrap gives intervals that are too narrow; there Student's t interval stands.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ..evaluation.patients import by_patient, mean_of_defined
from ..evaluation.statistics import RESAMPLES, paired_difference, summarise
from ..evaluation.tables import METRICS_FILE

OUTCOMES = (
    "dice",
    "dice_ends",
    "dice_superior_end",
    "dice_inferior_end",
    "coverage",
    "volume_error_percent",
    "end_distance_mm",
)
TITLES = {
    "dice": "Dice",
    "dice_ends": "Dice, both ends",
    "dice_superior_end": "Dice, superior end",
    "dice_inferior_end": "Dice, inferior end",
    "coverage": "coverage",
    "volume_error_percent": "volume error [%]",
    "end_distance_mm": "distance of the ends [mm]",
}
# with fewer patients the percentile bootstrap covers less than it says (of 8 about 90 % for 95 %)
FEWEST_FOR_BOOTSTRAP = 20
SEEDLESS = ("perfect_gtv",)  # arms that neither train nor draw patients
TEXT_COLUMNS = ("data", "case", "patient", "arm")

Row = Mapping[str, Any]


def read_test(folder: str | Path, arm: str, size: int, seed: int) -> list[dict[str, Any]]:
    """Rows of one test, with `arm`, `size` and `seed` in front; an empty cell is NaN."""
    with open(Path(folder) / METRICS_FILE, newline="", encoding="utf-8") as file:
        rows = [read_row(row) for row in csv.DictReader(file)]
    head = {"arm": arm, "size": size, "seed": seed}
    return [head | row | {"end_distance_mm": end_distance_mm(row)} for row in rows]


def read_row(cells: Mapping[str, str]) -> dict[str, Any]:
    """A line of a CSV file with numbers instead of texts; an empty cell is NaN."""
    return {key: value if key in TEXT_COLUMNS else float(value or "nan") for key, value in cells.items()}


def end_distance_mm(row: Row) -> float:
    """Mean distance between the last slice drawn and the last one of the reference, of both ends, whatever the side.

    Where networks miss the end by more than the few slices in which its Dice is taken, that Dice is near zero for all
    of them; the distance still tells them apart.

    Args:
        row: with the columns of `light_metrics`. An end without Dice is cut by the image and does not count.

    Returns:
        Millimetres; NaN where nothing was drawn or no end counts.
    """
    counted = [side for side in ("superior", "inferior") if not np.isnan(row[f"dice_{side}_end"])]
    return float(np.mean([abs(row[f"end_error_{side}_mm"]) for side in counted])) if counted else float("nan")


def choose_rows(rows: Iterable[Row], arm: str, size: int) -> list[Row]:
    """Rows of an arm at a size; an arm that needs no label (size 0) counts at every size."""
    return [row for row in rows if row["arm"] == arm and row["size"] in (0, size)]


def per_patient(rows: Iterable[Row], metric: str) -> dict[str, float]:
    """Mean of a metric over the repeats of each patient; NaN repeats are left out."""
    rows = list(rows)
    return by_patient(rows, [row[metric] for row in rows])


def arm_summary(rows: Sequence[Row], metric: str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Mean over patients with its 95 % interval, the median over them, and the mean of every seed.

    Args:
        rows: of one arm at one size.
        metric: column.
        resamples: of the bootstrap.
    """
    values = list(per_patient(rows, metric).values())
    numbers = summarise(values, resamples=resamples) | few_patients_interval(values)
    return {
        **{key: numbers[key] for key in ("n", "n_undefined", "mean", "ci_low", "ci_high", "sd", "median", "interval")},
        "by_seed": {
            str(number): mean_of_defined(
                list(per_patient([row for row in rows if row["seed"] == number], metric).values())
            )
            for number in sorted({row["seed"] for row in rows})
        },
    }


def paired_outcome(
    first: Sequence[Row], second: Sequence[Row], metric: str, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Mean of first - second over patients, with its 95 % interval and the difference of every common seed.

    What both arms have counts: a patient's difference is between the means over the seeds with which both were tested
    on that patient, and over the cases in which both have a value.

    Args:
        first, second: rows of two arms at one size. An arm of `SEEDLESS` is set against all seeds of the other.
        metric: column.
        resamples: of the bootstrap.

    Returns:
        Numbers of `statistics.paired_difference`; `median_difference`; `by_seed`; `left_out`: patients that one of the
        two was not tested on, or not with a seed of the other.

    Raises:
        ValueError: no patient was tested by both with a common seed.
    """
    tested = {row["patient"] for row in (*first, *second)}
    first, second = _defined_in_both(*_common(first, second), metric)
    if not first:
        raise ValueError("the two arms have no seed and patient in common")
    values, others = per_patient(first, metric), per_patient(second, metric)
    numbers = paired_difference(list(values.values()), list(others.values()), resamples=resamples)
    differences = [values[patient] - others[patient] for patient in values]
    defined = [value for value in differences if not np.isnan(value)]
    numbers |= {"median_difference": float(np.median(defined)) if defined else float("nan")}
    numbers |= few_patients_interval(differences)
    by_seed = {}
    for number in sorted({row["seed"] for row in first}):
        pair = [per_patient([row for row in rows if row["seed"] == number], metric) for rows in (first, second)]
        by_seed[str(number)] = mean_of_defined([pair[0][patient] - pair[1][patient] for patient in pair[0]])
    return numbers | {"by_seed": by_seed, "left_out": len(tested) - len(values)}


def few_patients_interval(values: Sequence[float]) -> dict[str, Any]:
    """Which 95 % interval a mean has, and Student's t interval where the patients are few.

    Args:
        values: one per patient; NaN is left out.

    Returns:
        {"interval": "bootstrap"}, or {"interval": "t", "ci_low", "ci_high"} of 2 to 19 patients.
    """
    defined = [value for value in values if not np.isnan(value)]
    if not 2 <= len(defined) < FEWEST_FOR_BOOTSTRAP:
        return {"interval": "bootstrap"}
    mean, error = np.mean(defined), np.std(defined, ddof=1) / np.sqrt(len(defined))
    reach = stats.t.ppf(0.975, len(defined) - 1) * error
    return {"interval": "t", "ci_low": float(mean - reach), "ci_high": float(mean + reach)}


def missing_tests(rows: Sequence[Row], arm: str, seeds: Sequence[int], patients: Iterable[str]) -> list[str]:
    """Seeds of an arm that were not tested on every patient, as texts.

    Args:
        rows: of the arm at one size.
        arm: its name.
        seeds: that are to be tested.
        patients: that are to be tested on.
    """
    wanted, found = set(patients), defaultdict(set)
    for row in rows:
        found[row["seed"]].add(row["patient"])
    lacking = {seed: wanted - found[seed] for seed in seeds}
    return [f"{arm}, seed {seed}: {len(lack)} of {len(wanted)} patients" for seed, lack in lacking.items() if lack]


def comparable(first: Sequence[Row], second: Sequence[Row]) -> bool:
    """Whether both arms were tested on some patient, with a seed in common."""
    return bool(_common(first, second)[0])


def _common(first: Sequence[Row], second: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of the patients and seeds that both arms have."""
    first, second = _with_seeds_of(second, first), _with_seeds_of(first, second)
    common = set.intersection(*({(row["patient"], row["seed"]) for row in rows} for rows in (first, second)))
    return tuple([row for row in rows if (row["patient"], row["seed"]) in common] for rows in (first, second))


def _defined_in_both(first: Sequence[Row], second: Sequence[Row], metric: str) -> tuple[list[Row], list[Row]]:
    """The rows with NaN where the other arm has NaN for the same case and seed: means of other cases are no pair."""
    both = (first, second)
    lacking = {_test_of(row) for rows in both for row in rows if np.isnan(row[metric])}
    return tuple([{**row, metric: float("nan")} if _test_of(row) in lacking else row for row in rows] for rows in both)


def _test_of(row: Row) -> tuple[str, int]:
    return row["case"], row["seed"]


def _with_seeds_of(other: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Rows of an arm without seed once for every seed of the other arm; those of any other arm as they are."""
    if not rows or rows[0]["arm"] not in SEEDLESS:
        return list(rows)
    return [{**row, "seed": seed} for seed in sorted({row["seed"] for row in other}) for row in rows]
