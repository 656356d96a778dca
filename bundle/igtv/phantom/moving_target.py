"""A contoured tumour on its way: masks at any displacement from its signed distance, without nearest-voxel steps."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from .grid import Grid
from .warp import warp_mean


class MovingTarget:
    """A mask that moves rigidly.

    The surface is where the signed distance changes its sign, half-way between the last voxel inside and the first one
    outside. Displaced, the distance is interpolated linearly: a flat side moves exactly, parts of a voxel included, and
    the union over many displacements is not thickened by rounding each of them.

    Args:
        mask: the tumour, bool (X, Y, Z).
        grid: its grid.
        reach_mm: largest displacement along each axis, (3,).
    """

    def __init__(self, mask: np.ndarray, grid: Grid, reach_mm: np.ndarray):
        self.grid = grid
        self._spacing = np.asarray(grid.spacing_mm, np.float32)
        margin = np.ceil(np.asarray(reach_mm) / self._spacing).astype(int) + 2
        voxels = np.argwhere(mask)
        first, last = voxels.min(axis=0) - margin, voxels.max(axis=0) + margin + 1
        self._inside = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(first, last, mask.shape, strict=True))
        # a tumour cut by a face of the image goes on beyond it as it is there
        padding = [(max(-a, 0), max(b - n, 0)) for a, b, n in zip(first, last, mask.shape, strict=True)]
        whole = np.pad(mask[self._inside], padding, mode="edge")
        self._start = tuple(low for low, _ in padding)
        outer = distance_transform_edt(~whole, sampling=grid.spacing_mm)
        self._distance_mm = (outer - distance_transform_edt(whole, sampling=grid.spacing_mm)).astype(np.float32)

    def at(self, displacement_mm: np.ndarray) -> np.ndarray:
        """Mask at a displacement, (3,) or one for each slice (Z, 3); bool (X, Y, Z)."""
        shape = tuple(part.stop - part.start for part in self._inside)
        shift = np.broadcast_to(np.asarray(displacement_mm, np.float32), (self.grid.shape[2], 3))[self._inside[2]]
        distance = warp_mean(
            self._distance_mm,
            np.ones(shape, np.float32),
            self._start,
            np.ascontiguousarray(shift / self._spacing)[None],
            np.ones(1, np.float32),
        )
        mask = np.zeros(self.grid.shape, bool)
        mask[self._inside] = distance < 0
        return mask

    def phases(self, displacement_mm: np.ndarray) -> np.ndarray:
        """Bit p is set where the tumour is at displacement p of (P, 3); uint16 (X, Y, Z)."""
        bits = np.zeros(self.grid.shape, np.uint16)
        for number, displacement in enumerate(displacement_mm):
            bits[self.at(displacement)] |= np.uint16(1 << number)
        return bits
