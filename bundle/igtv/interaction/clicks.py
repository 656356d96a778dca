"""Clicks of an annotator: places in the patient, whatever grid and file order the viewer counts its voxels in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MOST_CLICKS = 200  # far more than anybody sets; a request beyond it is a mistake


@dataclass(frozen=True)
class Click:
    """One click.

    Attributes:
        position_mm: patient coordinates (right, anterior, superior) in mm.
        inside: True: tumour here; False: no tumour here.
    """

    position_mm: tuple[float, float, float]
    inside: bool


def clicks_from_voxels(points: Iterable[Sequence[float]], affine: np.ndarray, inside: bool) -> list[Click]:
    """Clicks from voxel indices of any grid.

    Args:
        points: indices (i, j, k), 0 at the centre of the first voxel, in the order in which the file stores its axes.
        affine: 4 x 4, voxel index -> patient RAS mm, of that same grid.
        inside: what the clicks say.

    Raises:
        ValueError: a point does not have three finite numbers, or there are too many.
    """
    points = list(points)
    if len(points) > MOST_CLICKS:
        raise ValueError(f"{len(points)} clicks; at most {MOST_CLICKS} are taken")
    clicks = []
    for point in points:
        values = _three_numbers(point)
        position = np.asarray(affine, dtype=float) @ [*values, 1.0]
        clicks.append(Click(tuple(float(value) for value in position[:3]), inside))
    return clicks


def voxel_of(click: Click, affine: np.ndarray, shape: Sequence[int]) -> tuple[int, int, int]:
    """Index of the voxel that holds a click.

    Args:
        click: the click.
        affine: 4 x 4, voxel index -> patient RAS mm.
        shape: voxels along the axes (X, Y, Z).

    Raises:
        ValueError: the click lies outside the volume.
    """
    index = np.linalg.solve(np.asarray(affine, dtype=float), [*click.position_mm, 1.0])[:3]
    nearest = np.floor(index + 0.5 + 1e-6).astype(int)
    if (nearest < 0).any() or (nearest >= np.asarray(shape[:3])).any():
        place = ", ".join(f"{value:.1f}" for value in click.position_mm)
        raise ValueError(
            f"a click lies outside the volume: voxel {tuple(index.round(1).tolist())} of {tuple(shape[:3])} "
            f"(patient RAS {place} mm)"
        )
    return tuple(nearest.tolist())


def _three_numbers(point: Sequence[float]) -> list[float]:
    try:
        values = [float(value) for value in point]
    except (TypeError, ValueError):
        raise ValueError(f"a click is three numbers (i, j, k), not {point!r}") from None
    if len(values) != 3 or not np.isfinite(values).all():
        raise ValueError(f"a click is three finite numbers (i, j, k), not {point!r}")
    return values
