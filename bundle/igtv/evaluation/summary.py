"""From the rows of a run to its summary: means with intervals, pooled metrics, strata by volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import monai
import numpy as np

from .case_metrics import METRICS
from .compare import rows_by_stratum
from .overlap import pooled_metrics
from .patients import patient_column, patient_means, patient_of
from .statistics import summarise
from .surfaces import TOLERANCES_MM
from .tables import column

CONFIDENCE = 0.95
COVERAGE_LEVELS = (0.95, 0.99)
STRATUM_METRICS = ("dice", "nsd_3mm", "hd95_mm", "coverage", "volume_error_percent")


def summarise_run(rows: Sequence[Mapping], name: str, end_length_mm: float, resamples: int, seed: int) -> dict:
    """Summary of a run, ready for JSON.

    Args:
        rows: one row per case (`case`, `patient` and the columns of `case_metrics`).
        name: name of what is evaluated.
        end_length_mm: as used for the rows.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        name, n_cases, n_patients, n_reference_empty, n_prediction_empty (of those with a target), settings, metrics
        (per metric the numbers of `statistics.summarise`, signed errors with `mean_absolute`), coverage_reached (part
        of the patients with at least that coverage), lesions (totals), by_volume, pooled, worst_cases.
    """

    def summary(group: Sequence[Mapping], metric: str) -> dict:
        return summarise(patient_column(group, metric), CONFIDENCE, resamples, seed)

    metrics = {metric.name: summary(rows, metric.name) for metric in METRICS}
    for metric in METRICS:
        if metric.better == "zero":
            values = patient_means(rows, np.abs(column(rows, metric.name)))
            defined = values[~np.isnan(values)]
            metrics[metric.name]["mean_absolute"] = float(defined.mean()) if len(defined) else float("nan")
    with_target = [row for row in rows if row["volume_reference_ml"] > 0]
    coverage = patient_column(with_target, "coverage")
    return {
        "name": name,
        "n_cases": len(rows),
        "n_patients": len({patient_of(row) for row in rows}),
        "n_reference_empty": len(rows) - len(with_target),
        "n_prediction_empty": sum(row["volume_prediction_ml"] == 0 for row in with_target),
        "settings": {
            "unit_of_statistics": "patient",
            "nsd_tolerances_mm": list(TOLERANCES_MM),
            "end_length_mm": end_length_mm,
            "confidence": CONFIDENCE,
            "bootstrap_resamples": resamples,
            "seed": seed,
            "monai": monai.__version__,
        },
        "metrics": metrics,
        "coverage_reached": {
            f"{level:g}": float(np.mean(coverage >= level)) if len(coverage) else float("nan")
            for level in COVERAGE_LEVELS
        },
        "lesions": {
            count: int(column(rows, count).sum()) if rows else 0 for count in ("lesion_tp", "lesion_fp", "lesion_fn")
        },
        "by_volume": {
            stratum: {"n": len({patient_of(row) for row in group})}
            | {metric: summary(group, metric) for metric in STRATUM_METRICS}
            for stratum, group in rows_by_stratum(rows).items()
        },
        "pooled": pooled_metrics(rows),
        "worst_cases": [row["case"] for row in worst_first(rows)[:10]],
    }


def worst_first(rows: Sequence[Mapping]) -> list[Mapping]:
    """Rows by rising Dice; cases without a target (Dice not defined) last, the most false positive volume first."""

    def badness(row):
        undefined = np.isnan(row["dice"])
        return (undefined, 0.0 if undefined else row["dice"], -row["excess_ml"], row["case"])

    return sorted(rows, key=badness)
