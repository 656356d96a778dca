"""How much of a proposal an annotator kept."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .grids import same_grid


def edit_dice(proposal_path: Path, mask: sitk.Image) -> float | None:
    """Dice between a proposal and the label submitted; 1 for a proposal accepted as it was, also an empty one.

    Returns:
        The Dice; None where the proposal cannot be read or is on another grid.
    """
    try:
        proposal = sitk.ReadImage(str(proposal_path))
    except RuntimeError:
        return None
    if not same_grid(proposal, mask):
        return None
    first, second = (sitk.GetArrayViewFromImage(image) != 0 for image in (proposal, mask))
    total = int(first.sum()) + int(second.sum())
    return round(2 * int(np.logical_and(first, second).sum()) / total, 4) if total else 1.0
