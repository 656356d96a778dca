"""GTV plus margin: how far a mask must grow up, down and sideways to be the best guess of the IGTV."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from ..evaluation.overlap import dice


@dataclass(frozen=True)
class Margin:
    """Millimetres by which a mask grows: to superior, to inferior, and in all directions of the axial plane."""

    superior_mm: float = 0.0
    inferior_mm: float = 0.0
    in_plane_mm: float = 0.0


def grow(mask: np.ndarray, margin: Margin, spacing_mm: Sequence[float]) -> np.ndarray:
    """Mask grown by a margin.

    First every axial slice by the distance `in_plane_mm` (to voxel centres), then every column by the number of
    slices nearest to `superior_mm` and `inferior_mm`.

    Args:
        mask: boolean (X, Y, Z) in RAS, z towards superior.
        margin: how far.
        spacing_mm: voxel size (x, y, z).
    """
    grown = mask.copy()
    if margin.in_plane_mm > 0 and mask.any():
        for index in np.flatnonzero(mask.any(axis=(0, 1))):
            distance = ndimage.distance_transform_edt(~mask[..., index], sampling=spacing_mm[:2])
            grown[..., index] = distance <= margin.in_plane_mm + 1e-6
    up, down = (round(length / spacing_mm[2]) for length in (margin.superior_mm, margin.inferior_mm))
    result = grown.copy()
    for shift in range(1, min(up, mask.shape[2] - 1) + 1):
        result[..., shift:] |= grown[..., :-shift]
    for shift in range(1, min(down, mask.shape[2] - 1) + 1):
        result[..., :-shift] |= grown[..., shift:]
    return result


def at_the_edge(margin: Margin, si_mm: Sequence[float], in_plane_mm: Sequence[float]) -> list[str]:
    """Parts of a margin that are the largest value tried: a larger one might have been better."""
    largest = {"superior_mm": max(si_mm), "inferior_mm": max(si_mm), "in_plane_mm": max(in_plane_mm)}
    return [name for name, value in largest.items() if getattr(margin, name) == value > 0]


def choose_margin(
    cases: Iterable[tuple[np.ndarray, np.ndarray, Sequence[float]]],
    si_mm: Sequence[float],
    in_plane_mm: Sequence[float] = (0.0,),
) -> tuple[Margin, float]:
    """The margin with the highest mean Dice.

    Args:
        cases: (mask, reference, voxel size) of the labelled patients, boolean arrays (X, Y, Z).
        si_mm: values to try for superior and for inferior, every pair of them.
        in_plane_mm: values to try in the plane.

    Returns:
        The margin, and its mean Dice; of equals the smaller one, superior first.

    Raises:
        ValueError: no case with a reference.
    """
    tried = [Margin(up, down, wide) for wide, up, down in product(sorted(in_plane_mm), sorted(si_mm), sorted(si_mm))]
    table = []
    for mask, label, spacing in cases:
        if not label.any():
            continue
        mask, label = _cropped(mask, label, tried[-1], spacing)
        table.append([dice(grow(mask, margin, spacing), label) for margin in tried])
    if not table:
        raise ValueError("no labelled case with a target: the margin cannot be chosen")
    means = np.mean(table, axis=0)
    best = int(means.argmax())
    return tried[best], float(means[best])


def _cropped(mask: np.ndarray, label: np.ndarray, largest: Margin, spacing_mm: Sequence[float]) -> tuple:
    """Both cut to their common box plus the largest margin, which leaves every Dice what it is."""
    reach_mm = (largest.in_plane_mm, largest.in_plane_mm, max(largest.superior_mm, largest.inferior_mm))
    window = []
    for axis, (reach, step) in enumerate(zip(reach_mm, spacing_mm, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero((mask | label).any(axis=others))
        pad = int(np.ceil(reach / step)) + 1
        window.append(slice(max(0, filled[0] - pad), filled[-1] + pad + 1))
    return mask[tuple(window)], label[tuple(window)]
