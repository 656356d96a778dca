"""Motion of the tissue around a tumour in a real image: rigid at the tumour, fading to rest, never folding.

At a displacement d of the tumour the image at x shows what the reference image has at x - w(x) d. The weight w is 1
wherever the tumour ever is, 0 far away and in bone, the air around the patient and at the faces of the image. The map
has the Jacobian determinant 1 - d . grad w, and along every line parallel to d it is a function of one variable with
that slope: as long as d . grad w < 1 it is one-to-one. The width of the fade is chosen so that |d . grad w| stays below
a limit (`max_strain`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    affine_transform,
    binary_closing,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    label,
    map_coordinates,
    maximum_filter1d,
)

from .grid import Grid
from .warp import warp_mean

# steepest slope of the ramp s^3 (10 - 15 s + 6 s^2)
RAMP_SLOPE = 1.875
# tissue at rest lies at least one fade width from the moving core where it is bone or air, at most so many elsewhere
WIDEST_FADE = 2.0
# voxels around the tumour that move rigidly with it: what the smoothing of the weight reaches, and one
CORE_MARGIN = 3
SMOOTHING_VOXELS, SMOOTHING_REACH = 1.0, 2.0
BONE_HU, SMALLEST_BONE_ML = 200.0, 2.0
AIR_HU, SMALLEST_AIR_ML = -900.0, 10.0
MORPHOLOGY_STEPS = 2
# voxels that a cubic interpolation looks beyond its place until it no longer matters
SPLINE_REACH = 8


@dataclass(frozen=True)
class TissueMotion:
    """Weight of the tumour's displacement on one grid.

    Args:
        weight: 0 to 1, float32, on a box of the grid; 0 outside the box.
        start: index of the box's first voxel in the grid.
        grid: the image's grid.
        fade_mm: shortest width of the fade along x, y, z.
    """

    weight: np.ndarray
    start: tuple[int, int, int]
    grid: Grid
    fade_mm: tuple[float, float, float]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.weight.shape, strict=True))

    def on(self, grid: Grid) -> "TissueMotion":
        """The same motion on another grid; beyond an image face the weight goes on as it is at the face."""
        if grid == self.grid:
            return self
        first = np.asarray(self.grid.origin_mm) + np.asarray(self.start) * self.grid.spacing_mm
        last = first + (np.asarray(self.weight.shape) - 1) * self.grid.spacing_mm
        # where the box ends inside the image its weight is 0, so one voxel more holds all of the motion
        low, high = self._open_ends(first, last)
        box, index_range = grid.box(low, high)
        overlap = grid.clip_box(index_range)
        if overlap is None:
            return TissueMotion(np.zeros((1, 1, 1), np.float32), (0, 0, 0), grid, self.fade_mm)
        inside, within = overlap
        origin = np.asarray(box.origin_mm) + [part.start * s for part, s in zip(within, box.spacing_mm, strict=True)]
        weight = affine_transform(
            self.weight,
            np.asarray(grid.spacing_mm) / self.grid.spacing_mm,
            offset=(origin - first) / self.grid.spacing_mm,
            output_shape=tuple(part.stop - part.start for part in inside),
            order=1,
            mode="nearest",
        )
        return TissueMotion(weight, tuple(part.start for part in inside), grid, self.fade_mm)

    def _open_ends(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box, moved far out where the box ends at a face of the image with tissue in motion."""
        low, high = first.copy(), last.copy()
        for axis in range(3):
            faces = np.moveaxis(self.weight, axis, 0)[[0, -1]]
            beyond = 1000.0
            low[axis] -= beyond if faces[0].any() else 0.0
            high[axis] += beyond if faces[1].any() else 0.0
        return low, high

    def mean(self, volume: np.ndarray, displacement_mm: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
        """Mean of the volume over displacements of the tumour, linear interpolation, float32 (X, Y, Z).

        Args:
            volume: reference image (X, Y, Z) on `grid`.
            displacement_mm: (T, 3), or (T, Z, 3) with one for each slice.
            shares: weight of each displacement, (T,), sum 1; None: all alike.
        """
        volume = np.ascontiguousarray(volume, np.float32)
        shifts = np.asarray(displacement_mm, np.float32) / np.asarray(self.grid.spacing_mm, np.float32)
        if shifts.ndim == 2:
            shifts = np.repeat(shifts[:, None], self.grid.shape[2], axis=1)
        if shares is None:
            shares = np.full(len(shifts), 1.0 / len(shifts))
        result = volume.copy()
        moved = np.ascontiguousarray(shifts[:, self.box[2]])
        result[self.box] = warp_mean(volume, self.weight, self.start, moved, shares.astype(np.float32))
        return result

    def sharp(self, volume: np.ndarray, displacement_mm: np.ndarray) -> np.ndarray:
        """The volume at one displacement, cubic interpolation, which keeps noise and edges; float32 (X, Y, Z).

        Args:
            volume: reference image (X, Y, Z) on `grid`.
            displacement_mm: (3,), or (Z, 3) with one for each slice.
        """
        shift = np.broadcast_to(np.asarray(displacement_mm, np.float32), (self.grid.shape[2], 3))[self.box[2]]
        shift = shift / np.asarray(self.grid.spacing_mm, np.float32)
        reach = int(np.ceil(np.abs(shift).max())) + SPLINE_REACH
        around = tuple(
            slice(max(part.start - reach, 0), min(part.stop + reach, n))
            for part, n in zip(self.box, self.grid.shape, strict=True)
        )
        places = np.indices(self.weight.shape, dtype=np.float32)
        for axis in range(3):
            places[axis] += self.start[axis] - around[axis].start
            places[axis] -= shift[:, axis] * self.weight
        result = np.asarray(volume, np.float32).copy()
        moved = map_coordinates(result[around], places, order=3, mode="nearest")
        result[self.box] = np.where(self.weight > 0, np.clip(moved, result.min(), result.max()), result[self.box])
        return result

    def jacobian(self, displacement_mm: np.ndarray) -> np.ndarray:
        """Determinant of the map x -> x - w(x) d on the voxels of the box, central differences, (X, Y, Z)."""
        slopes = np.gradient(self.weight, *self.grid.spacing_mm)
        return 1.0 - sum(float(d) * slope for d, slope in zip(displacement_mm, slopes, strict=True))

    def covered(self, low_mm: np.ndarray, high_mm: np.ndarray) -> tuple[slice, slice, slice]:
        """Part of the grid that shows only what the reference image has, for displacements between two corners.

        Where the tumour lies so close to a face that the tissue there moves, the moved image needs tissue from beyond
        the face; these slices are left out.

        Args:
            low_mm, high_mm: smallest and largest displacement along each axis, (3,).
        """
        kept = []
        for axis, (size, spacing) in enumerate(zip(self.grid.shape, self.grid.spacing_mm, strict=True)):
            most = np.moveaxis(self.weight, axis, 0).reshape(self.weight.shape[axis], -1).max(axis=1)
            index = np.arange(size, dtype=np.float64)
            weight = np.zeros(size)
            weight[self.box[axis]] = most
            # half a voxel beyond the last centre is still inside the last voxel
            outside = index - high_mm[axis] / spacing * weight < -0.5
            outside |= index - low_mm[axis] / spacing * weight > size - 0.5
            missing = np.flatnonzero(outside)
            middle = size // 2
            first = max((int(i) + 1 for i in missing if i < middle), default=0)
            kept.append(slice(first, min((int(i) for i in missing if i >= middle), default=size)))
        return tuple(kept)


def build_tissue_motion(
    grid: Grid,
    ct_hu: np.ndarray,
    gtv: np.ndarray,
    displacement_mm: np.ndarray,
    fade_mm: tuple[float, float, float],
    max_strain: float,
) -> TissueMotion:
    """Weight of the tumour's motion for every voxel around it.

    Args:
        grid: grid of CT and GTV.
        ct_hu: reference CT (X, Y, Z), to find bone and the air around the patient.
        gtv: tumour in it, bool (X, Y, Z).
        displacement_mm: all displacements that will be asked for, (N, 3).
        fade_mm: shortest way along x, y, z over which the motion fades where there is bone or air; up to twice that
            elsewhere. Widened in proportion where the motion asks for it.
        max_strain: limit of |d . grad w|, 0 to 1 (1: tissue would be crushed to nothing).
    """
    spacing = np.asarray(grid.spacing_mm)
    low, high = np.minimum(displacement_mm.min(axis=0), 0.0), np.maximum(displacement_mm.max(axis=0), 0.0)
    steepest = RAMP_SLOPE * float(np.linalg.norm(np.maximum(-low, high) / fade_mm))
    fade = np.asarray(fade_mm) * max(1.0, steepest / max_strain)
    voxels = np.argwhere(gtv)
    margin = (WIDEST_FADE * fade) / spacing + CORE_MARGIN + 2
    first = np.maximum(np.floor(voxels.min(axis=0) + low / spacing - margin), 0).astype(int)
    last = np.minimum(np.ceil(voxels.max(axis=0) + high / spacing + margin), np.asarray(grid.shape) - 1).astype(int)
    box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    # the ring around the box stands for what lies beyond the image
    core = _swept(np.pad(gtv[box], 1), low / spacing, high / spacing)
    still = np.pad(tissue_at_rest(ct_hu, grid.voxel_volume_ml)[box], 1, constant_values=True)
    weight = gaussian_filter(_fade(core, still, spacing / fade), SMOOTHING_VOXELS, truncate=SMOOTHING_REACH)
    inner = np.ascontiguousarray(weight[1:-1, 1:-1, 1:-1], np.float32)
    return TissueMotion(inner, tuple(int(v) for v in first), grid, tuple(float(v) for v in fade))


def _fade(core: np.ndarray, still: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """1 in the core, 0 in tissue at rest, a smooth ramp of the share of the way between; lengths in fade widths.

    The share D / (D + F) of the distances to core and rest has a slope of at most 1 / (D + F), which is at most the
    inverse of their distance from each other: tissue closer than one fade width to the core is not held.
    """
    to_core = distance_transform_edt(~core, sampling=sampling)
    rest = (to_core >= WIDEST_FADE) | (still & (to_core >= 1.0))
    if not rest.any():
        return np.ones(core.shape, np.float32)
    share = (to_core / (to_core + distance_transform_edt(~rest, sampling=sampling))).astype(np.float32)
    return 1.0 - share**3 * (10.0 - 15.0 * share + 6.0 * share**2)


def _swept(gtv: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Every voxel that the tumour can reach with a displacement (in voxels) between two corners, and a margin."""
    swept = gtv.astype(np.uint8)
    for axis in range(3):
        back = CORE_MARGIN - int(np.floor(low[axis]))
        forth = CORE_MARGIN + int(np.ceil(high[axis]))
        # the window reaches `forth` voxels down and `back` voxels up the axis
        size = back + forth + 1
        swept = maximum_filter1d(swept, size, axis=axis, mode="constant", origin=forth - size // 2)
    return swept.astype(bool)


def tissue_at_rest(ct_hu: np.ndarray, voxel_ml: float) -> np.ndarray:
    """Bone (not calcifications) and the air around the patient, bool (X, Y, Z)."""
    bone = _large_parts(_beyond_the_faces(binary_closing, ct_hu > BONE_HU), SMALLEST_BONE_ML / voxel_ml)
    parts, _ = label(_beyond_the_faces(binary_opening, ct_hu < AIR_HU))
    sizes = np.bincount(parts.ravel())
    faces = np.unique(np.concatenate([part.ravel() for part in (parts[[0, -1]], parts[:, [0, -1]])]))
    outside = [number for number in faces if number and sizes[number] >= SMALLEST_AIR_ML / voxel_ml]
    return bone | np.isin(parts, outside)


def _beyond_the_faces(operation: Callable, mask: np.ndarray) -> np.ndarray:
    """A morphological operation for which the image goes on beyond its faces as it is there."""
    padded = operation(np.pad(mask, MORPHOLOGY_STEPS, mode="edge"), iterations=MORPHOLOGY_STEPS)
    return padded[(slice(MORPHOLOGY_STEPS, -MORPHOLOGY_STEPS),) * 3]


def _large_parts(mask: np.ndarray, smallest: float) -> np.ndarray:
    parts, _ = label(mask)
    kept = np.bincount(parts.ravel()) >= smallest
    kept[0] = False
    return kept[parts]
