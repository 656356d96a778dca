"""Regular voxel grids in the patient's RAS space (x to the right, y to anterior, z to superior; mm)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Axis-parallel grid; arrays on it have axis order (X, Y, Z), each index increasing towards R, A, S.

    Args:
        origin_mm: world position of the centre of voxel (0, 0, 0).
        spacing_mm: voxel size along x, y, z.
        shape: number of voxels along x, y, z.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def centred(cls, centre_mm, spacing_mm, shape) -> "Grid":
        """Grid of the given size whose geometric centre lies at `centre_mm`."""
        origin = tuple(float(c - s * (n - 1) / 2) for c, s, n in zip(centre_mm, spacing_mm, shape, strict=True))
        return cls(origin, tuple(map(float, spacing_mm)), tuple(map(int, shape)))

    @property
    def affine(self) -> np.ndarray:
        """Voxel index to world matrix (4, 4) for NIfTI."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = self.origin_mm
        return affine

    @property
    def voxel_volume_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000.0

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World coordinates in mm, shaped (X, 1, 1), (1, Y, 1) and (1, 1, Z) so that they broadcast."""
        x, y, z = (
            (o + s * np.arange(n)).astype(np.float32)
            for o, s, n in zip(self.origin_mm, self.spacing_mm, self.shape, strict=True)
        )
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def box(self, low_mm, high_mm) -> tuple["Grid", tuple[slice, slice, slice]]:
        """Part of the grid between two corners. It may reach beyond the grid: cut it with `clip_box`.

        Returns:
            The sub-grid and its index range as slices, which may be negative or too large.
        """
        low = np.floor((np.asarray(low_mm) - self.origin_mm) / self.spacing_mm).astype(int)
        high = np.ceil((np.asarray(high_mm) - self.origin_mm) / self.spacing_mm).astype(int) + 1
        origin = tuple(float(v) for v in np.asarray(self.origin_mm) + low * np.asarray(self.spacing_mm))
        shape = tuple(int(n) for n in np.maximum(high - low, 1))
        return Grid(origin, self.spacing_mm, shape), tuple(
            slice(int(a), int(b)) for a, b in zip(low, high, strict=True)
        )

    def clip_box(self, index_range) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
        """Index ranges of the overlap of a box with this grid: (in the grid, in the box), None without overlap."""
        inside, within = [], []
        for part, size in zip(index_range, self.shape, strict=True):
            start, stop = max(part.start, 0), min(part.stop, size)
            if start >= stop:
                return None
            inside.append(slice(start, stop))
            within.append(slice(start - part.start, stop - part.start))
        return tuple(inside), tuple(within)

    def refined(self, factor: int) -> "Grid":
        """The same space cut into `factor`^3 smaller voxels per voxel."""
        spacing = tuple(s / factor for s in self.spacing_mm)
        origin = tuple(o - s / 2 + f / 2 for o, s, f in zip(self.origin_mm, self.spacing_mm, spacing, strict=True))
        return Grid(origin, spacing, tuple(n * factor for n in self.shape))

    def shifted(self, offset_mm) -> "Grid":
        """The same grid moved by `offset_mm`."""
        origin = tuple(float(o + d) for o, d in zip(self.origin_mm, offset_mm, strict=True))
        return Grid(origin, self.spacing_mm, self.shape)


def block_mean(volume: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of `factor`^3 voxels: the way back from `Grid.refined`."""
    x, y, z = (n // factor for n in volume.shape)
    return volume.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5), dtype=np.float32)


def occupancy(distance_mm: np.ndarray, edge_mm: float) -> np.ndarray:
    """Filled part of a voxel (0 to 1) from the signed distance of its centre to a surface (negative inside).

    Args:
        distance_mm: signed distance.
        edge_mm: width of the linear ramp; the voxel size gives the partial-volume effect of a flat surface.
    """
    return np.clip(np.float32(0.5) - distance_mm * np.float32(1.0 / edge_mm), 0, 1, dtype=np.float32)
