"""How far tissue lies from a click, measured along tissue that looks like it on CT and PET."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

CT_SCALE_HU = 40.0  # a difference this large doubles the cost of a step
PET_SCALE = 0.7  # the same, in log2(SUV + 0.5): 0.7 is a factor of 1.6
SMOOTHING_MM = 2.0  # half the window of the median that takes noise off the CT and leaves its edges
SAMPLE_RADIUS_MM = 4.0  # the look of a click is the median over this ball
CT_RANGE_HU = (-1000.0, 400.0)


@dataclass(frozen=True)
class Neighbourhood:
    """The box round a click.

    Attributes:
        box: slices of the volume (X, Y, Z).
        distance_mm: straight distance of every voxel's centre from the clicked voxel's.
        arrival_mm: distance along similar tissue: at least the straight one, longer through tissue that differs.
    """

    box: tuple[slice, slice, slice]
    distance_mm: np.ndarray
    arrival_mm: np.ndarray


class TissueLikeness:
    """CT and PET of one case, prepared for several clicks.

    The arrival time of a front (fast marching, Sethian 1996) that leaves the click and advances one mm per step through
    tissue that looks like the clicked one, and 1 + (dHU / 40)^2 + (dlog2 SUV / 0.7)^2 times slower elsewhere.

    Args:
        ct_hu: CT (X, Y, Z) in HU.
        pet_suv: PET in SUVbw (g/ml) on the same grid.
        affine: 4 x 4, voxel index -> patient mm.

    Raises:
        ValueError: the shapes differ.
    """

    def __init__(self, ct_hu: np.ndarray, pet_suv: np.ndarray, affine: np.ndarray) -> None:
        if ct_hu.shape != pet_suv.shape or ct_hu.ndim != 3:
            raise ValueError(f"CT {ct_hu.shape} and PET {pet_suv.shape} must be volumes on one grid")
        self.ct_hu = ct_hu
        self.pet_suv = pet_suv
        self.axes_mm = np.asarray(affine, dtype=float)[:3, :3]
        self.spacing_mm = np.linalg.norm(self.axes_mm, axis=0)

    def around(self, voxel: Sequence[int], radius_mm: float) -> Neighbourhood:
        """Distances in the box that holds the ball of `radius_mm` round a voxel."""
        voxel = np.asarray(voxel)
        # half the box: the ball's extent along index axes, which are not square to each other in sheared volumes
        half = np.ceil(radius_mm * np.linalg.norm(np.linalg.inv(self.axes_mm), axis=1)).astype(int) + 1
        low = np.maximum(voxel - half, 0)
        high = np.minimum(voxel + half + 1, self.ct_hu.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        offsets = np.stack(
            np.meshgrid(*(np.arange(a, b) - c for a, b, c in zip(low, high, voxel, strict=True)), indexing="ij"), -1
        )
        distance = np.linalg.norm(offsets @ self.axes_mm.T, axis=-1)
        ct, pet = self._features(box)
        near = distance <= SAMPLE_RADIUS_MM
        cost = 1 + ((ct - np.median(ct[near])) / CT_SCALE_HU) ** 2 + ((pet - np.median(pet[near])) / PET_SCALE) ** 2
        speed = sitk.GetImageFromArray((1 / cost).astype(np.float32).transpose())
        speed.SetSpacing(self.spacing_mm.tolist())
        arrival = sitk.FastMarching(speed, [[int(value) for value in voxel - low]], 1.0, float(radius_mm))
        return Neighbourhood(box, distance, sitk.GetArrayFromImage(arrival).transpose())

    def _features(self, box: tuple[slice, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed CT in HU, with regard to what lies round the box, and log2(SUV + 0.5) of a box."""
        radius = np.maximum(1, np.round(SMOOTHING_MM / self.spacing_mm)).astype(int)
        wide = tuple(
            slice(max(0, part.start - pad), min(size, part.stop + pad))
            for part, pad, size in zip(box, radius, self.ct_hu.shape, strict=True)
        )
        inner = tuple(
            slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(box, wide, strict=True)
        )
        ct = np.clip(np.asarray(self.ct_hu[wide], dtype=np.float32), *CT_RANGE_HU)
        smooth = sitk.Median(sitk.GetImageFromArray(ct.transpose()), radius.tolist())
        pet = np.log2(np.maximum(np.asarray(self.pet_suv[box], dtype=np.float32), 0) + 0.5)
        return sitk.GetArrayFromImage(smooth).transpose()[inner], pet
