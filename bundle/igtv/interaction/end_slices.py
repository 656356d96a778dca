"""Marks of the first and the last slice that holds tumour, in the contract of clicks.

A mark inside says: the tumour reaches this slice, at this place, and no farther. A mark outside says: from this slice
on there is none. Which end is meant follows from where the mark lies: it belongs to the end of the proposed mask that
it lies nearer to; where nothing is proposed, to the nearer end of what the marks span. Slices are those of the volume's
own axis nearest head-feet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from .clicks import Click, voxel_of
from .likeness import TissueLikeness
from .resegmentation import RADIUS_MM, resegment

Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class EndMarks:
    """A mask after end marks.

    Attributes:
        mask: the corrected mask, boolean (X, Y, Z).
        beyond_ml: tumour left beyond the marks because it lies farther from them than the radius, in ml.
    """

    mask: np.ndarray
    beyond_ml: float


def apply_end_marks(
    probability: np.ndarray,
    mask: np.ndarray,
    tissue: TissueLikeness,
    affine: np.ndarray,
    marks: Sequence[Click],
    radius_mm: float = RADIUS_MM,
) -> EndMarks:
    """Let a proposed mask end at the marked slices.

    The mask grows to a mark inside as it does to a click, and what lies beyond a mark, within the radius, is taken
    away. Marks outside do nothing else: what lies on the tumour's side of them stays. Nothing farther from every mark
    than the radius changes.

    Args:
        probability, mask, tissue, affine, radius_mm: as for `resegment`.
        marks: marks inside or outside.

    Raises:
        ValueError: as `resegment`; a single mark without a mask it could belong to; marks that contradict each other.
    """
    # a click outside would take away similar tissue round it, also that of the tumour on the slices that stay
    result = resegment(probability, mask, tissue, affine, [mark for mark in marks if mark.inside], radius_mm)
    if not marks:
        return EndMarks(result, 0.0)
    axis = int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
    kept = [(voxel_of(mark, affine, result.shape), mark.inside) for mark in marks]
    beyond = _beyond(kept, _centre_slice(np.asarray(mask) != 0, kept, axis), axis, result.shape)
    for voxel, inside in kept:
        if inside and beyond[voxel]:
            raise ValueError(
                f"the end marks contradict each other: voxel {voxel} is marked as tumour, and lies beyond another mark "
                "of the same end (a mark belongs to the end of the proposal that it lies nearer to); remove one of them"
            )
    cut = result & beyond
    near = np.zeros_like(cut)
    if cut.any():
        indices = np.argwhere(cut)
        for voxel, _ in kept:
            distance = np.linalg.norm((indices - voxel) @ np.asarray(affine)[:3, :3].T, axis=1)
            near[tuple(indices[distance <= radius_mm].T)] = True
    result &= ~near
    voxel_ml = abs(np.linalg.det(np.asarray(affine)[:3, :3])) / 1000
    return EndMarks(result, float((result & beyond).sum() * voxel_ml))


def _beyond(kept: Sequence[tuple[Voxel, bool]], centre: float, axis: int, shape: Sequence[int]) -> np.ndarray:
    """Where no tumour may be, by any of the marks (voxel, inside)."""
    beyond = np.zeros(shape, bool)
    for voxel, inside in kept:
        upwards = voxel[axis] >= centre
        first = voxel[axis] + (int(inside) if upwards else -int(inside))
        part = [slice(None)] * 3
        part[axis] = slice(first, None) if upwards else slice(None, max(0, first + 1))
        beyond[tuple(part)] = True
    return beyond


def _centre_slice(mask: np.ndarray, kept: Sequence[tuple[Voxel, bool]], axis: int) -> float:
    """The slice between the two ends: marks on it or above it mean the upper end in index order."""
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    if filled.size:
        return float((filled[0] + filled[-1]) / 2)
    positions = sorted({voxel[axis] for voxel, _ in kept})
    if len(positions) < 2:
        raise ValueError(
            "a single end mark needs a proposed mask to end: there is none; mark both ends, or click inside"
        )
    return (positions[0] + positions[-1]) / 2
