"""Marks of the first and the last slice that holds tumour, in the contract of clicks.

A mark inside says: the tumour reaches this slice, at this place, and no farther. A mark outside says: from this slice
on there is none. Which end is meant follows from where the mark lies: with two marks the upper one is the superior
end, a single one belongs to the end it lies nearer to. Slices are those of the volume's own axis nearest head-feet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from .clicks import Click, voxel_of
from .likeness import TissueLikeness
from .resegmentation import RADIUS_MM, resegment


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
    away. Nothing farther from every mark than the radius changes.

    Args:
        probability, mask, tissue, affine, radius_mm: as for `resegment`.
        marks: marks inside or outside.

    Raises:
        ValueError: as `resegment`; a single mark without a mask it could belong to; marks that contradict each other.
    """
    result = resegment(probability, mask, tissue, affine, marks, radius_mm)
    if not marks:
        return EndMarks(result, 0.0)
    axis = int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
    voxels = [voxel_of(mark, affine, result.shape) for mark in marks]
    centre = _centre_slice(np.asarray(mask) != 0, voxels, axis)
    kept = [(voxel, mark.inside) for voxel, mark in zip(voxels, marks, strict=True)]
    beyond = np.zeros(result.shape, bool)
    for voxel, inside in kept:
        upwards = voxel[axis] >= centre
        first = voxel[axis] + (int(inside) if upwards else -int(inside))
        slices = slice(first, None) if upwards else slice(None, max(0, first + 1))
        part = [slice(None)] * 3
        part[axis] = slices
        beyond[tuple(part)] = True
    cut = result & beyond
    near = np.zeros_like(cut)
    if cut.any():
        indices = np.argwhere(cut)
        for voxel, _ in kept:
            distance = np.linalg.norm((indices - voxel) @ np.asarray(affine)[:3, :3].T, axis=1)
            near[tuple(indices[distance <= radius_mm].T)] = True
    result &= ~near
    for voxel, inside in kept:
        if bool(result[voxel]) != inside:
            raise ValueError(f"the end marks contradict each other: voxel {voxel} lies beyond another mark")
    voxel_ml = abs(np.linalg.det(np.asarray(affine)[:3, :3])) / 1000
    return EndMarks(result, float((result & beyond).sum() * voxel_ml))


def _centre_slice(mask: np.ndarray, voxels: Sequence[tuple[int, int, int]], axis: int) -> float:
    """The slice between the two ends: marks above it mean the upper end in index order."""
    positions = sorted({voxel[axis] for voxel in voxels})
    if len(positions) > 1:
        return (positions[0] + positions[-1]) / 2
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    if not filled.size:
        raise ValueError(
            "a single end mark needs a proposed mask to end: there is none; mark both ends, or click inside"
        )
    return float((filled[0] + filled[-1]) / 2)
