"""The ends of the target: where breathing blurs the PET most, and what the slice interaction module is meant for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .masks import slice_extent
from .overlap import dice

NAN = float("nan")
END_LENGTH_MM = 6.0  # of each end; the outer slices in which the PET of a moving tumour is below 40 % of its peak


def end_slice_count(n_slices: int, slice_mm: float, end_length_mm: float = END_LENGTH_MM) -> int:
    """Slices that make up one end: `end_length_mm` to the nearest slice, at least 1, at most a third of the extent."""
    return max(1, min(round(end_length_mm / slice_mm), n_slices // 3))


def end_metrics(
    pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], end_length_mm: float = END_LENGTH_MM
) -> dict[str, float]:
    """Dice of the superior end, the inferior end and the centre, and by how much the prediction over- or undershoots.

    The ends are defined on the reference's extent in z. Everything predicted beyond the reference on one side counts
    as false positive of the end on that side, so that drawing on and on is not free. The end error is in mm of whole
    slices: positive when the prediction reaches further out than the reference, negative when it stops short.

    Args:
        pred: boolean prediction (X, Y, Z), z towards superior.
        label: boolean reference (X, Y, Z).
        spacing_mm: voxel size (x, y, z).
        end_length_mm: length of one end along z.

    Returns:
        dice_superior_end, dice_central, dice_inferior_end, end_error_superior_mm, end_error_inferior_mm. Empty
        reference: all NaN. Empty prediction: Dice 0, errors NaN. A reference of one or two slices has no centre (NaN).
    """
    names = (
        "dice_superior_end",
        "dice_central",
        "dice_inferior_end",
        "end_error_superior_mm",
        "end_error_inferior_mm",
    )
    extent = slice_extent(label)
    if extent is None:
        return dict.fromkeys(names, NAN)
    low, high = extent
    n_end = end_slice_count(high - low + 1, spacing_mm[2], end_length_mm)
    superior, inferior = slice(high - n_end + 1, None), slice(None, low + n_end)
    central = slice(low + n_end, high - n_end + 1)
    predicted = slice_extent(pred)
    errors = (NAN, NAN)
    if predicted is not None:
        errors = ((predicted[1] - high) * spacing_mm[2], (low - predicted[0]) * spacing_mm[2])
    dices = (dice(pred[..., part], label[..., part]) for part in (superior, central, inferior))
    return dict(zip(names, (*dices, *errors), strict=True))
