"""Lung vessels as random trees of tubes from the hilum to the periphery."""

from dataclasses import dataclass

import numpy as np

from .grid import Grid, occupancy

FIRST_BRANCHES = 8
LEVELS = 4


@dataclass(frozen=True)
class VesselTree:
    """Tubes at exhale.

    Args:
        start_mm: first ends (V, 3).
        end_mm: second ends (V, 3).
        radius_mm: radius (V,).
    """

    start_mm: np.ndarray
    end_mm: np.ndarray
    radius_mm: np.ndarray

    def render(self, grid: Grid) -> np.ndarray:
        """Occupancy (0 to 1) on a grid, (X, Y, Z)."""
        volume = np.zeros(grid.shape, np.float32)
        edge_mm = float(np.mean(grid.spacing_mm))
        for start, end, radius in zip(self.start_mm, self.end_mm, self.radius_mm, strict=True):
            margin = radius + edge_mm
            box, index_range = grid.box(np.minimum(start, end) - margin, np.maximum(start, end) + margin)
            overlap = grid.clip_box(index_range)
            if overlap is None:
                continue
            inside, within = overlap
            distance = tube_distance(*box.axes(), start, end)[within]
            # a tube thinner than a voxel fills only part of it: the contrast falls with its cross-section
            contrast = min(1.0, (2.0 * radius / edge_mm) ** 2)
            np.maximum(volume[inside], contrast * occupancy(distance - radius, edge_mm), out=volume[inside])
        return volume


def tube_distance(x, y, z, start, end) -> np.ndarray:
    """Distance in mm of points to the line segment from `start` to `end`."""
    axis = np.asarray(end, np.float64) - start
    axis_x, axis_y, axis_z = (axis / max(float(axis @ axis), 1e-9)).astype(np.float32)
    dx, dy, dz = (np.asarray(c - o, np.float32) for c, o in zip((x, y, z), start, strict=True))
    along = np.clip(axis_x * dx + axis_y * dy + axis_z * dz, 0, 1)
    dx, dy, dz = (d - along * np.float32(a) for d, a in zip((dx, dy, dz), axis, strict=True))
    return np.sqrt(dx * dx + dy * dy + dz * dz)


def draw_vessels(rng: np.random.Generator, hilum_mm, lateral: float) -> VesselTree:
    """Random tree of one lung.

    Args:
        rng: source of randomness.
        hilum_mm: root of the tree.
        lateral: +1 for the right lung, -1 for the left one: the way outwards along x.
    """
    tubes = []
    front = []
    for _ in range(FIRST_BRANCHES):
        direction = np.array([lateral * rng.uniform(0.3, 1.0), rng.uniform(-0.9, 0.9), rng.uniform(-1.0, 1.0)])
        front.append((np.asarray(hilum_mm, float), direction / np.linalg.norm(direction), rng.uniform(4.0, 5.5)))
    length_mm = 42.0
    for _ in range(LEVELS):
        grown = []
        for start, direction, radius in front:
            end = start + direction * length_mm * rng.uniform(0.7, 1.2)
            tubes.append((start, end, radius))
            for _ in range(2):
                turned = direction + 0.55 * rng.normal(size=3)
                # branches do not run back into the mediastinum
                turned[0] += 0.2 * lateral
                grown.append((end, turned / np.linalg.norm(turned), radius * rng.uniform(0.6, 0.8)))
        front = grown
        length_mm *= 0.78
    start, end, radius = zip(*tubes, strict=True)
    return VesselTree(np.array(start), np.array(end), np.array(radius))
