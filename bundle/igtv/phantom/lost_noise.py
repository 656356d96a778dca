"""Noise that a mean over displaced copies of a real image has lost, and how it is given back.

The noise of a PET comes from counting and stays what it is when the patient breathes; that of an average CT is lower
than one phase's, but everywhere. A mean over displaced copies averages noise away where tissue moves and nowhere else,
which would show where the tumour is.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from .tissue_motion import TissueMotion

# below it there is air, whose noise says nothing about that of tissue
LOWEST_SUV = 0.2
LOWEST_HU = -950.0
# correlation of the noise: the usual post-filter of a PET's reconstruction, a smooth kernel of a CT's
PET_NOISE_FWHM_MM = 5.0
CT_NOISE_FWHM_MM = 1.5
FWHM_PER_SIGMA = 2.3548
# voxels of one weight are looked at together
WEIGHT_BINS = 8
FEWEST_VOXELS = 50


def pet_noise_scale(pet_suv: np.ndarray, where: np.ndarray | None = None) -> float:
    """Standard deviation of the second difference along z over the root of the uptake; 0 without noise.

    Counting makes the variance grow with the uptake. The median is that of places without edges:
    1.4826 median |p[z-1] - 2 p[z] + p[z+1]| / sqrt(p).

    Args:
        pet_suv: (X, Y, Z) in SUVbw (g/ml).
        where: voxels to look at, bool (X, Y, Z); None, or too few of them: all tissue.
    """
    middle = pet_suv[..., 1:-1]
    return _typical(second_difference(pet_suv) / np.sqrt(np.maximum(middle, LOWEST_SUV)), middle > LOWEST_SUV, where)


def ct_noise_scale(ct_hu: np.ndarray, where: np.ndarray | None = None) -> float:
    """Standard deviation of the second difference along z in HU, 1.4826 median |c[z-1] - 2 c[z] + c[z+1]|.

    Args:
        ct_hu: (X, Y, Z) in HU.
        where: as in `pet_noise_scale`.
    """
    return _typical(second_difference(ct_hu.astype(np.float32)), ct_hu[..., 1:-1] > LOWEST_HU, where)


def _typical(differences: np.ndarray, tissue: np.ndarray, where: np.ndarray | None) -> float:
    chosen = tissue if where is None else tissue & where[..., 1:-1]
    chosen = chosen if chosen.sum() >= FEWEST_VOXELS else tissue
    return float(1.4826 * np.median(np.abs(differences[chosen]))) if chosen.sum() >= FEWEST_VOXELS else 0.0


def second_difference(volume: np.ndarray) -> np.ndarray:
    """p[z-1] - 2 p[z] + p[z+1], (X, Y, Z - 2)."""
    return volume[..., 2:] - 2.0 * volume[..., 1:-1] + volume[..., :-2]


def noise_field(shape: tuple[int, int, int], spacing_mm, fwhm_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth normal noise whose second difference along z has the standard deviation 1, float32 (X, Y, Z)."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / np.asarray(spacing_mm)
    field = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    return field / second_difference(field).std()


def restore_pet_noise(
    mean: np.ndarray,
    source: np.ndarray,
    motion: TissueMotion,
    displacement_mm: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Give a mean PET the noise back that it has lost, float32 (X, Y, Z).

    Args:
        mean: mean of `source` over the displacements (X, Y, Z).
        source: the PET (X, Y, Z), SUVbw.
        motion: of the tissue, on the PET's grid.
        displacement_mm, shares: as given to `TissueMotion.mean`.
        rng: of the noise.
    """
    if min(source.shape) < 3 or not (scale := pet_noise_scale(source, _moving(motion))):
        return mean
    lost = lost_noise(motion, displacement_mm, shares, PET_NOISE_FWHM_MM, rng)
    noisy = mean + scale * np.sqrt(np.maximum(mean, 0.0)) * lost
    return np.maximum(noisy, np.minimum(mean, 0.0)).astype(np.float32)


def restore_ct_noise(
    mean: np.ndarray, source: np.ndarray, motion: TissueMotion, displacement_mm: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give an average CT the noise back that it has lost where tissue moves: all of it has that of one phase then.

    Args:
        mean: mean of `source` over the displacements (X, Y, Z), HU.
        source: the CT (X, Y, Z), HU.
        motion: of the tissue, on the CT's grid.
        displacement_mm: one for each phase, (T, 3).
        rng: of the noise.

    Returns:
        float32 (X, Y, Z).
    """
    if min(source.shape) < 3 or not (scale := ct_noise_scale(source, _moving(motion))):
        return mean
    shares = np.full(len(displacement_mm), 1.0 / len(displacement_mm))
    lost = lost_noise(motion, displacement_mm, shares, CT_NOISE_FWHM_MM, rng)
    return (mean + scale * lost).astype(np.float32)


def lost_noise(
    motion: TissueMotion, displacement_mm: np.ndarray, shares: np.ndarray, fwhm_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Noise that makes up for what a mean over displacements has lost, of noise of strength 1; 0 at rest, (X, Y, Z).

    A noise field of the same kind is displaced and averaged as the image was; the share of the variance of its second
    difference that is left is measured by the weight of the motion. An independent field makes up for the rest.
    Tissue at rest, and any image that nothing moved, gets nothing.

    Args:
        motion: of the tissue.
        displacement_mm, shares: as given to `TissueMotion.mean`.
        fwhm_mm: correlation of the noise.
        rng: of the noise.
    """
    grid = motion.grid
    weight = _weight(motion)
    tried, added = (noise_field(grid.shape, grid.spacing_mm, fwhm_mm, rng) for _ in range(2))
    left = second_difference(motion.mean(tried, displacement_mm, shares))
    inner = weight[..., 1:-1]
    places, kept = [0.0], [1.0]
    edges = np.linspace(0.0, 1.0, WEIGHT_BINS + 1)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        chosen = (inner > low) & (inner <= high)
        if chosen.sum() >= FEWEST_VOXELS:
            places.append(float(inner[chosen].mean()))
            before = second_difference(tried)[chosen]
            kept.append(min(1.0, float(np.mean(left[chosen] ** 2) / np.mean(before**2))))
    lost = np.sqrt(1.0 - np.interp(weight, places, kept))
    lost[weight == 0.0] = 0.0
    return lost * added


def _weight(motion: TissueMotion) -> np.ndarray:
    weight = np.zeros(motion.grid.shape, np.float32)
    weight[motion.box] = motion.weight
    return weight


def _moving(motion: TissueMotion) -> np.ndarray:
    return _weight(motion) > 0.5
