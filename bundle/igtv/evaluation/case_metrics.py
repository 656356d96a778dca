"""One row of numbers per patient, and what each column means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ends import END_LENGTH_MM, end_metrics
from .lesions import lesion_metrics
from .masks import check_pair
from .overlap import centroid_shift, volume_metrics, voxel_counts
from .surfaces import margin_for_coverage, surface_metrics


@dataclass(frozen=True)
class Metric:
    """A column of the table of cases.

    Attributes:
        name: column name, unit included.
        title: for people, in the report.
        better: "higher", "lower", "zero" (signed error, compared by its size) or "" (describes, does not judge).
        digits: decimals in the report.
    """

    name: str
    title: str
    better: str
    digits: int = 2


METRICS = (
    Metric("dice", "Dice", "higher", 3),
    Metric("nsd_2mm", "Surface Dice at 2 mm", "higher", 3),
    Metric("nsd_3mm", "Surface Dice at 3 mm", "higher", 3),
    Metric("hd95_mm", "HD95 [mm]", "lower", 1),
    Metric("mean_surface_distance_mm", "Mean surface distance [mm]", "lower", 2),
    Metric("coverage", "Coverage of the reference", "higher", 3),
    Metric("margin_95_mm", "Margin for 95 % coverage [mm]", "lower", 1),
    Metric("missed_ml", "Missed volume [ml]", "lower", 1),
    Metric("excess_ml", "Excess volume [ml]", "lower", 1),
    Metric("volume_reference_ml", "Reference volume [ml]", "", 1),
    Metric("volume_prediction_ml", "Predicted volume [ml]", "", 1),
    Metric("volume_error_ml", "Volume error [ml]", "zero", 1),
    Metric("volume_error_percent", "Volume error [%]", "zero", 0),
    Metric("dice_superior_end", "Dice, superior end", "higher", 3),
    Metric("dice_central", "Dice, central slices", "higher", 3),
    Metric("dice_inferior_end", "Dice, inferior end", "higher", 3),
    Metric("end_error_superior_mm", "End error, superior [mm]", "zero", 1),
    Metric("end_error_inferior_mm", "End error, inferior [mm]", "zero", 1),
    Metric("centroid_shift_x_mm", "Centroid shift to the right, x [mm]", "zero", 1),
    Metric("centroid_shift_y_mm", "Centroid shift anterior, y [mm]", "zero", 1),
    Metric("centroid_shift_z_mm", "Centroid shift superior, z [mm]", "zero", 1),
    Metric("lesion_tp", "Lesions found", "", 1),
    Metric("lesion_fp", "False positive components", "lower", 1),
    Metric("lesion_fn", "Lesions missed", "lower", 1),
    Metric("false_positive_ml", "Volume of false positive components [ml]", "lower", 1),
    Metric("false_negative_ml", "Volume of missed lesions [ml]", "lower", 1),
)


def case_metrics(
    pred, label, spacing_mm: Sequence[float], case: str = "case", end_length_mm: float = END_LENGTH_MM
) -> dict[str, float]:
    """All metrics of one patient.

    Conventions for empty masks: with an empty reference everything that needs one is NaN (Dice, NSD, distances,
    coverage, margin, ends, centroid, relative volume error), also when the prediction is empty too; volumes, excess,
    false positive counts and volumes stay numbers. With an empty prediction of a tumour, Dice, NSD and coverage are 0
    and what needs a predicted voxel (distances, margin, end errors, centroid) is NaN: read those beside the number of
    missed cases.

    Args:
        pred: predicted mask (X, Y, Z) in RAS, values 0 and 1.
        label: reference mask (X, Y, Z).
        spacing_mm: voxel size (x, y, z).
        case: name, for error texts.
        end_length_mm: length of one end of the target along z.

    Returns:
        The columns of METRICS, then the voxel counts for the pooled metrics.

    Raises:
        ValueError: masks or voxel size that cannot be compared (see `masks.check_pair`).
    """
    pred, label, spacing = check_pair(pred, label, spacing_mm, case)
    numbers = volume_metrics(pred, label, spacing)
    numbers |= surface_metrics(pred, label, spacing)
    numbers["margin_95_mm"] = margin_for_coverage(pred, label, spacing)
    numbers |= end_metrics(pred, label, spacing, end_length_mm)
    numbers |= centroid_shift(pred, label, spacing)
    numbers |= lesion_metrics(pred, label, spacing)
    return {metric.name: numbers[metric.name] for metric in METRICS} | voxel_counts(pred, label)
