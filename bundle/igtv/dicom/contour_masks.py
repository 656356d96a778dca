"""Stacks of closed contours (patient mm) -> mask on any image's grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .errors import DicomError
from .polygon_fill import fill_polygons

# contours count as drawn in the image's slices when they leave them by no more than this share of a slice
IN_SLICE_SHARE = 0.1
# a slice that lies this close to a contour's plane, in shares of the contours' spacing, gets that contour as it is
SAME_PLANE_SHARE = 0.1
# neighbouring planes further apart than this many contour spacings are two parts of the ROI, with nothing in between
GAP_SPACINGS = 1.5
# planes further apart than this are never taken for neighbours, however few there are
LARGEST_SPACING_MM = 12.0
# a contour whose points leave their common plane by more is none
PLANE_TOLERANCE_MM = 0.5
# points of one plane, written with few decimals, or a slice position written in another way than in the image
SAME_POSITION_MM = 0.1
OBLIQUE_SUBSAMPLES = 3
LARGEST_OBLIQUE_GRID = 30_000_000  # voxels


@dataclass(frozen=True)
class Contour:
    """One closed polygon: (N, 3) vertices in patient mm (DICOM's LPS), N >= 3, and whether XOR is its stored type."""

    points_mm: np.ndarray
    xor: bool = False


def contours_to_mask(contours: Sequence[Contour], reference: sitk.Image) -> tuple[sitk.Image, list[str]]:
    """Mark the voxels of `reference` whose centres lie in the contours of one ROI.

    Contours drawn in the image's slices fill these slices; between contours that are further apart than the slices
    the shape is interpolated (signed distances), and the first and last contour reach half a contour spacing further.
    Contours in other planes (another orientation of the image) are filled on a finer grid of their own, which is then
    sampled at the voxels' centres.

    Args:
        contours: of one ROI, at least one.
        reference: 3-D image whose origin, spacing and direction (LPS) say where its voxels are.

    Returns:
        uint8 mask (0 or 1) on the grid of `reference`, and what had to be decided, in words.

    Raises:
        DicomError: when contours are not planar, or not parallel to each other.
    """
    if reference.GetDimension() != 3:
        raise DicomError(f"contours need a 3-D image as reference, this one has {reference.GetDimension()} dimensions")
    size = reference.GetSize()
    stored = [_to_index(contour.points_mm, reference) for contour in contours]
    if all(np.ptp(points[:, 2]) <= IN_SLICE_SHARE for points in stored):
        array, notes = _fill_slices(stored, [contour.xor for contour in contours], size, reference.GetSpacing()[2])
    else:
        array, notes = _fill_oblique(contours, reference)
    mask = sitk.GetImageFromArray(array.astype(np.uint8))
    mask.CopyInformation(reference)
    return mask, notes


def _to_index(points_mm: np.ndarray, image: sitk.Image) -> np.ndarray:
    """(N, 3) patient mm -> continuous voxel index (column, row, slice)."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    return np.linalg.solve(axes, (points_mm - np.array(image.GetOrigin())).T).T


def _fill_slices(
    contours: Sequence[np.ndarray], xor: Sequence[bool], size: Sequence[int], slice_spacing_mm: float
) -> tuple[np.ndarray, list[str]]:
    """Fill contours that lie in the slices, or between them, of a grid.

    Args:
        contours: (N, 3) each, in voxels (column, row, slice).
        xor: whether they are combined by XOR, for each contour.
        size: voxels (columns, rows, slices).
        slice_spacing_mm: distance of the slices.

    Returns:
        (slices, rows, columns) bool, and what was decided.
    """
    notes: list[str] = []
    columns, rows, slices = size
    positions = np.array([points[:, 2].mean() for points in contours]) * slice_spacing_mm
    groups = _group_by_plane(positions)
    planes, repeated = [], 0
    for members in groups:
        plane, left_out = fill_polygons(
            [contours[k][:, :2] for k in members], (rows, columns), any(xor[k] for k in members)
        )
        planes.append(plane)
        repeated += left_out
    if repeated:
        notes.append(f"{repeated} contours are stored twice: each counts once")
    plane_positions = np.array([positions[members].mean() for members in groups])
    spacing_mm = _contour_spacing(plane_positions, slice_spacing_mm)
    array = np.zeros((slices, rows, columns), bool)
    interpolated, used = 0, np.zeros(len(planes), bool)
    for index in range(slices):
        weights = _planes_at(index * slice_spacing_mm, plane_positions, spacing_mm)
        array[index] = _shape_between(planes, weights)
        interpolated += len(weights) == 2
        used[[plane for plane, _ in weights]] = True
    if not array.any():
        # thinner than a slice: nothing would be left of it, so that it goes to the slice next to it
        for plane, position in zip(planes, plane_positions, strict=True):
            index = round(position / slice_spacing_mm)
            if 0 <= index < slices:
                array[index] |= plane
        if array.any():
            notes.append("thinner than the image's slices: put into the slices next to its contours")
    if interpolated:
        notes.append(
            f"contours every {spacing_mm:.2f} mm on slices every {slice_spacing_mm:.2f} mm: "
            f"{interpolated} slices lie between contours and were interpolated"
        )
    notes += _describe_gaps(plane_positions, spacing_mm)
    outside = (
        (plane_positions < -spacing_mm / 2) | (plane_positions > (slices - 1) * slice_spacing_mm + spacing_mm / 2)
    ).sum()
    beyond = sum(
        (points[:, :2].min() < -1 or points[:, 0].max() > columns or points[:, 1].max() > rows) for points in contours
    )
    if outside or beyond:
        notes.append(
            f"the image does not hold all of it: {outside} contour planes and parts of {beyond} contours lie outside"
        )
    return array, notes


def _group_by_plane(positions_mm: np.ndarray) -> list[np.ndarray]:
    """Contours (their numbers) of each plane, planes in ascending order."""
    order = np.argsort(positions_mm, kind="stable")
    breaks = np.flatnonzero(np.diff(positions_mm[order]) > SAME_POSITION_MM) + 1
    return np.split(order, breaks)


def _contour_spacing(plane_positions_mm: np.ndarray, slice_spacing_mm: float) -> float:
    """Usual distance of neighbouring contour planes, mm; that of the slices where only one plane exists."""
    if len(plane_positions_mm) < 2:
        return slice_spacing_mm
    usual = float(np.median(np.diff(plane_positions_mm)))
    return usual if usual <= LARGEST_SPACING_MM else slice_spacing_mm


def _planes_at(position_mm: float, planes_mm: np.ndarray, spacing_mm: float) -> list[tuple[int, float]]:
    """Contour planes whose shapes make up the slice at one position, with their weights; none outside the ROI."""
    after = int(np.searchsorted(planes_mm, position_mm))
    before = after - 1
    nearest = min(
        (k for k in (before, after) if 0 <= k < len(planes_mm)), key=lambda k: abs(planes_mm[k] - position_mm)
    )
    distance = position_mm - planes_mm[nearest]
    if abs(distance) <= SAME_PLANE_SHARE * spacing_mm:
        return [(nearest, 1.0)]
    if before >= 0 and after < len(planes_mm):
        gap = planes_mm[after] - planes_mm[before]
        if gap <= GAP_SPACINGS * spacing_mm + SAME_POSITION_MM:
            share = (position_mm - planes_mm[before]) / gap
            return [(before, 1 - share), (after, share)]
    # half a contour spacing beyond an end; half-open, so that N contours never fill N + 1 slices
    return [(nearest, 1.0)] if -spacing_mm / 2 < distance + 1e-6 <= spacing_mm / 2 else []


def _shape_between(planes: Sequence[np.ndarray], weights: Sequence[tuple[int, float]]) -> np.ndarray | bool:
    """The shape at a slice: a contour's own, or between two where their weighted signed distances are positive.

    Parts that meet nothing in the other plane end there: they reach half-way.
    """
    if not weights:
        return False
    if len(weights) == 1:
        return planes[weights[0][0]]
    (first, first_weight), (second, second_weight) = weights
    filled = planes[first] | planes[second]
    if not filled.any():
        return filled
    window = tuple(slice(*_reach(np.flatnonzero(filled.any(axis=axis)))) for axis in (1, 0))
    shapes = [np.pad(planes[plane][window], 1) for plane in (first, second)]
    meeting = [_parts_that_meet(shape, other) for shape, other in (shapes, shapes[::-1])]
    nearer = int(second_weight > first_weight)
    between = shapes[nearer] & ~meeting[nearer]
    if meeting[0].any():
        distance = first_weight * _signed_distance(meeting[0]) + second_weight * _signed_distance(meeting[1])
        between |= distance > 0
    result = np.zeros_like(filled)
    result[window] = between[1:-1, 1:-1]
    return result


def _parts_that_meet(shape: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Connected parts of a shape that share pixels with another."""
    parts, _ = ndimage.label(shape)
    return np.isin(parts, np.setdiff1d(parts[other], 0))


def _reach(indices: np.ndarray) -> tuple[int, int]:
    return int(indices[0]), int(indices[-1]) + 1


def _signed_distance(shape: np.ndarray) -> np.ndarray:
    """Pixels from the border, positive inside."""
    return ndimage.distance_transform_edt(shape) - ndimage.distance_transform_edt(~shape)


def _describe_gaps(planes_mm: np.ndarray, spacing_mm: float) -> list[str]:
    steps = np.diff(planes_mm)
    gaps = steps[steps > GAP_SPACINGS * spacing_mm + SAME_POSITION_MM]
    if not len(gaps):
        return []
    widths = ", ".join(f"{gap:.1f}" for gap in gaps)
    return [f"no contours over {widths} mm between contours {spacing_mm:.2f} mm apart: left empty there"]


def _fill_oblique(contours: Sequence[Contour], reference: sitk.Image) -> tuple[np.ndarray, list[str]]:
    """Fill contours on a fine grid along their own planes and sample it at the voxels of `reference`."""
    normal = _common_normal(contours)
    grid, spacing_mm = _contour_grid(contours, normal, reference)
    stored = [_to_index(contour.points_mm, grid) for contour in contours]
    fine, notes = _fill_slices(stored, [contour.xor for contour in contours], grid.GetSize(), grid.GetSpacing()[2])
    shape = sitk.GetImageFromArray(fine.astype(np.float32))
    shape.CopyInformation(grid)
    sampled = sitk.Resample(shape, reference, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    notes = [note for note in notes if "interpolated" not in note and "does not hold" not in note]
    angle = np.degrees(np.arccos(np.clip(abs(normal @ np.array(reference.GetDirection())[2::3]), 0, 1)))
    notes.append(f"contours every {spacing_mm:.2f} mm in planes at {angle:.1f} degrees to the image's slices")
    return sitk.GetArrayFromImage(sampled) >= 0.5, notes


def _common_normal(contours: Sequence[Contour]) -> np.ndarray:
    """Unit normal of the planes of all contours (3,), from their area vectors."""
    total = np.zeros(3)
    for contour in contours:
        points = contour.points_mm - contour.points_mm.mean(axis=0)
        area = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
        total += area if area @ total >= 0 else -area
    length = np.linalg.norm(total)
    if length == 0:
        raise DicomError("contours enclose no area")
    normal = total / length
    off = max(np.ptp(contour.points_mm @ normal) for contour in contours)
    if off > PLANE_TOLERANCE_MM:
        raise DicomError(
            f"contours are not planar or not parallel: points leave their common plane by {off:.2f} mm "
            f"(allowed {PLANE_TOLERANCE_MM} mm)"
        )
    return normal


def _contour_grid(contours: Sequence[Contour], normal: np.ndarray, reference: sitk.Image) -> tuple[sitk.Image, float]:
    """Empty grid along the contours' planes, finer than `reference`, around all contours; and their spacing in mm."""
    helper = np.eye(3)[np.argmin(np.abs(normal))]
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(normal, first), normal], axis=1)
    local = [contour.points_mm @ axes for contour in contours]
    everything = np.concatenate(local)
    positions = np.array([points[:, 2].mean() for points in local])
    planes = np.array([positions[members].mean() for members in _group_by_plane(positions)])
    finest = min(reference.GetSpacing())
    spacing_mm = _contour_spacing(planes, finest)
    volume_mm3 = np.prod(np.ptp(everything, axis=0) + spacing_mm)
    step = max(finest / OBLIQUE_SUBSAMPLES, float(np.cbrt(volume_mm3 / LARGEST_OBLIQUE_GRID)))
    # an odd number of layers for each contour, so that it is one of them and the outer ones lie within its half spacing
    layers = 2 * int(np.ceil(spacing_mm / step / 2)) + 1
    spacing = np.array([step, step, spacing_mm / layers])
    margin = np.array([2 * step, 2 * step, spacing_mm])
    corner = everything.min(axis=0) - margin
    corner[2] = planes[0] - layers * spacing[2]
    size = np.ceil((everything.max(axis=0) + margin - corner) / spacing).astype(int) + 1
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing([float(s) for s in spacing])
    grid.SetDirection([float(a) for a in axes.ravel()])
    grid.SetOrigin([float(x) for x in axes @ corner])
    return grid, spacing_mm
