"""The outcome of the study per case, without the surface distances, which cost a hundred times as much."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.ends import end_metrics
from ..evaluation.masks import check_pair
from ..evaluation.overlap import volume_metrics


def light_metrics(
    pred, label, spacing_mm: Sequence[float], case: str = "case", cut_by: Sequence[str] = ()
) -> dict[str, float]:
    """Overlap, volumes and ends of one case; definitions as in `evaluation.case_metrics`.

    Args:
        pred: predicted mask (X, Y, Z) in RAS, values 0 and 1.
        label: reference mask (X, Y, Z).
        spacing_mm: voxel size (x, y, z).
        case: name, for error texts.
        cut_by: faces of the image that the target reaches: "superior", "inferior". It has no true end there: the Dice
            of that end, and the mean of both, are NaN.

    Returns:
        The columns of `evaluation.overlap.volume_metrics` and `evaluation.ends.end_metrics`, and `dice_ends`: the
        mean Dice of both ends.
    """
    pred, label, spacing = check_pair(pred, label, spacing_mm, case)
    numbers = volume_metrics(pred, label, spacing) | end_metrics(pred, label, spacing)
    numbers |= {name: float("nan") for face in cut_by if (name := f"dice_{face}_end") in numbers}
    ends = [numbers["dice_superior_end"], numbers["dice_inferior_end"]]
    return numbers | {"dice_ends": float(np.mean(ends))}
