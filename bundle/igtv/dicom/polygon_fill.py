"""Closed polygons of one plane -> pixels whose centres lie inside."""

from collections.abc import Sequence

import numpy as np

# a polygon lies in another when this share of its outline does: drawn by hand, a hole may touch the outer contour
NESTED_SHARE = 0.95
# nested polygons whose areas differ by less are one contour stored twice
SAME_AREA_SHARE = 0.98


def fill_polygon(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mark the pixels whose centres a polygon encloses (even-odd rule).

    A channel drawn forth and back (keyhole) crosses every line twice and so leaves no trace. Of two polygons that
    share an edge exactly one gets the centres on it.

    Args:
        points: (N, 2) vertices as (column, row) in pixels, pixel centres at whole numbers; closed by itself.
        shape: (rows, columns).

    Returns:
        (rows, columns) bool.
    """
    rows, columns = shape
    ends = np.roll(points, -1, axis=0)
    upward = points[:, 1] <= ends[:, 1]
    low, high = np.where(upward[:, None], points, ends), np.where(upward[:, None], ends, points)
    # an edge crosses the rows low <= row < high, so that a vertex belongs to one of its two edges
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.int64)
    crossed = np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.int64) - first
    edge = np.repeat(np.arange(len(points)), crossed)
    if not len(edge):
        return np.zeros(shape, bool)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    column = np.ceil(low[edge, 0] + (row - low[edge, 1]) * slope)
    toggles = np.zeros((rows, columns + 1), np.int64)
    np.add.at(toggles, (row, np.clip(column, 0, columns).astype(np.int64)), 1)
    return np.cumsum(toggles, axis=1)[:, :columns] % 2 == 1


def fill_polygons(polygons: Sequence[np.ndarray], shape: tuple[int, int], xor: bool = False) -> tuple[np.ndarray, int]:
    """Fill all polygons that one ROI has in one plane.

    A polygon within another is a hole, one within the hole an island, and so on. Polygons that only overlap are parts
    of one region. A contour stored twice counts once. With `xor` (CLOSEDPLANAR_XOR) the standard fixes the rule: a
    point is inside when it lies in an odd number of polygons.

    Args:
        polygons: (N, 2) each, as in `fill_polygon`.
        shape: (rows, columns).
        xor: combine by exclusive or, whatever the polygons' nesting.

    Returns:
        (rows, columns) bool, and how many polygons were left out as repetitions of another.
    """
    if xor:
        filled = np.zeros(shape, bool)
        for polygon in polygons:
            filled ^= fill_polygon(polygon, shape)
        return filled, 0
    ordered = sorted(polygons, key=_area, reverse=True)
    kept: list[tuple[np.ndarray, int]] = []
    filled = np.zeros(shape, bool)
    for polygon in ordered:
        holders = [(larger, depth) for larger, depth in kept if _lies_in(polygon, larger)]
        if any(_area(polygon) >= SAME_AREA_SHARE * _area(larger) for larger, _ in holders):
            continue
        depth = max((depth for _, depth in holders), default=-1) + 1
        kept.append((polygon, depth))
        inside = fill_polygon(polygon, shape)
        filled = filled & ~inside if depth % 2 else filled | inside
    return filled, len(ordered) - len(kept)


def _area(points: np.ndarray) -> float:
    """Enclosed area (a keyhole's hole is taken off), pixels^2."""
    x, y = (points - points.mean(axis=0)).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _lies_in(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether the outline of one polygon lies in another, up to `NESTED_SHARE` of its length."""
    if (inner.min(axis=0) > outer.max(axis=0)).any() or (inner.max(axis=0) < outer.min(axis=0)).any():
        return False
    ends = np.roll(inner, -1, axis=0)
    lengths = np.linalg.norm(ends - inner, axis=1)
    middles = (inner + ends) / 2
    inside = _points_inside(middles, outer)
    return bool(lengths[inside].sum() >= NESTED_SHARE * lengths.sum())


def _points_inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(M,) bool, even-odd; a point on the outline counts as inside."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    edge = end - start
    offset = points[:, None] - start[None]
    straddles = (start[None, :, 1] <= points[:, None, 1]) != (end[None, :, 1] <= points[:, None, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start[None, :, 0] + offset[..., 1] * edge[None, :, 0] / edge[None, :, 1]
    inside = (straddles & (points[:, None, 0] < crossing)).sum(axis=1) % 2 == 1
    squared = np.maximum((edge**2).sum(axis=1), 1e-12)
    along = np.clip((offset * edge[None]).sum(axis=2) / squared, 0, 1)
    distance = np.linalg.norm(offset - along[..., None] * edge[None], axis=2).min(axis=1)
    return inside | (distance < 1e-3)
