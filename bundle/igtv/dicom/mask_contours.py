"""A mask as closed polygons in patient millimetres, one set per slice, for an RTSTRUCT.

Between the centres of a voxel inside and of its neighbour outside the border may lie anywhere. Drawn half-way it is a
staircase; here it follows the mask smoothed in its plane, held so that every voxel centre stays on its side. So the
polygons, filled again by the rule of planning systems (a voxel belongs to it when its centre does), give the very mask
back, and each part keeps its area: one voxel alone as well as a large tumour, with its holes.
"""

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk
from contourpy import FillType, contour_generator
from scipy import ndimage

LEVEL = 0.5
SMOOTHING_VOXELS = 1.5  # standard deviation; less leaves the steps of slanting borders, more pulls against the mask
MARGIN = 0.03  # of the field around LEVEL: keeps the border off the voxel centres by some hundredths of a voxel
AREA_TOLERANCE_VOXELS = 0.02
PADDING = 6  # voxels around a part: reach of the smoothing, and room for borders at the edge of the slice
TOUCHING = np.ones((3, 3), bool)  # parts that meet at a corner are drawn together, since their borders share cells


def mask_contours(mask: sitk.Image) -> dict[int, list[np.ndarray]]:
    """Closed polygons of every slice that holds some of the mask.

    Args:
        mask: (x, y, z) with any origin, spacing and direction; non-zero inside; slices along its third axis.

    Returns:
        Slice index -> polygons (n, 3) in patient mm (DICOM's LPS), n >= 3, the first point not repeated at the end.
        A hole is part of its polygon through a channel of no width (keyhole), as PS3.3 C.8.8.6.3 describes it.
    """
    inside = sitk.GetArrayFromImage(mask) != 0  # (z, y, x)
    origin = np.array(mask.GetOrigin())
    axes = np.array(mask.GetDirection()).reshape(3, 3) * np.array(mask.GetSpacing())  # columns: steps along x, y, z
    contours = {}
    for index in np.flatnonzero(inside.any(axis=(1, 2))):
        polygons = slice_polygons(inside[index])
        slice_origin = origin + axes[:, 2] * index
        contours[int(index)] = [polygon @ axes[:, :2].T + slice_origin for polygon in polygons]
    return contours


def slice_polygons(inside: np.ndarray) -> list[np.ndarray]:
    """Polygons (n, 2) of one slice as (column, row) in voxels, voxel centres at whole numbers.

    Args:
        inside: boolean (rows, columns).
    """
    parts, _ = ndimage.label(inside, TOUCHING)
    polygons = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = np.pad(parts[box] == number, PADDING)
        offset = np.array([box[1].start - PADDING, box[0].start - PADDING])
        polygons += [_keyhole(rings) + offset for rings in _rings(_area_true_field(part))]
    return polygons


def _area_true_field(part: np.ndarray) -> np.ndarray:
    """Smoothed part whose line at LEVEL encloses as much as its voxels do: smoothing alone wears corners away."""
    smooth = ndimage.gaussian_filter(part.astype(np.float64), SMOOTHING_VOXELS, mode="constant")
    low, high = -LEVEL, LEVEL
    field = _held(smooth, part)
    for _ in range(20):
        excess = sum(abs(_area(rings[0])) - sum(abs(_area(hole)) for hole in rings[1:]) for rings in _rings(field))
        excess -= part.sum()
        if abs(excess) <= AREA_TOLERANCE_VOXELS:
            break
        shift = (low + high) / 2
        low, high = (low, shift) if excess > 0 else (shift, high)
        field = _held(smooth + (low + high) / 2, part)
    return field


def _held(field: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Every voxel centre on its own side of LEVEL."""
    return np.where(part, np.maximum(field, LEVEL + MARGIN), np.minimum(field, LEVEL - MARGIN))


def _rings(field: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Outer border and holes of every area above LEVEL, each (n, 2) as (x, y), the last point being the first."""
    generator = contour_generator(z=field, fill_type=FillType.OuterOffset)
    for points, offsets in zip(*generator.filled(LEVEL, np.inf), strict=True):
        yield [points[first:last] for first, last in zip(offsets[:-1], offsets[1:], strict=True)]


def _area(ring: np.ndarray) -> float:
    """Signed area of a closed ring (shoelace)."""
    x, y = ring[:-1].T
    following_x, following_y = ring[1:].T
    return float(x @ following_y - y @ following_x) / 2


def _keyhole(rings: list[np.ndarray]) -> np.ndarray:
    """One polygon from a border and its holes, which run the other way round: each joined where it comes nearest."""
    polygon, holes = rings[0][:-1], [hole[:-1] for hole in rings[1:]]
    while holes:
        squared = [((polygon[:, None] - hole[None]) ** 2).sum(axis=2) for hole in holes]
        nearest = int(np.argmin([distances.min() for distances in squared]))
        hole = holes.pop(nearest)
        leave, enter = np.unravel_index(np.argmin(squared[nearest]), squared[nearest].shape)
        around = np.roll(hole, -enter, axis=0)
        polygon = np.concatenate([polygon[: leave + 1], around, around[:1], polygon[leave:]])
    return polygon
