"""Noise of a PET, and what a mean over displaced images has lost of it.

The noise of a PET comes from counting and stays what it is when the patient breathes. A mean over displaced copies of
a real PET averages its noise away where tissue moves and nowhere else, which would show where the tumour is.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from .tissue_motion import TissueMotion

# below it there is air, whose noise says nothing about that of tissue
LOWEST_SUV = 0.2
# correlation of the noise: the usual post-filter of a reconstruction
NOISE_FWHM_MM = 5.0
FWHM_PER_SIGMA = 2.3548
# voxels of one weight are looked at together
WEIGHT_BINS = 8
FEWEST_VOXELS = 50


def noise_scale(pet_suv: np.ndarray, where: np.ndarray | None = None) -> float:
    """Standard deviation of the second difference along z over the root of the uptake; 0 without noise.

    Counting makes the variance grow with the uptake. The median is that of places without edges:
    1.4826 median |p[z-1] - 2 p[z] + p[z+1]| / sqrt(p).

    Args:
        pet_suv: (X, Y, Z) in SUVbw (g/ml).
        where: voxels to look at, bool (X, Y, Z); None, or too few of them: all tissue.
    """
    middle = pet_suv[..., 1:-1]
    tissue = middle > LOWEST_SUV
    chosen = tissue if where is None else tissue & where[..., 1:-1]
    chosen = chosen if chosen.sum() >= FEWEST_VOXELS else tissue
    if chosen.sum() < FEWEST_VOXELS:
        return 0.0
    return float(1.4826 * np.median(np.abs(second_difference(pet_suv))[chosen] / np.sqrt(middle[chosen])))


def second_difference(volume: np.ndarray) -> np.ndarray:
    """p[z-1] - 2 p[z] + p[z+1], (X, Y, Z - 2)."""
    return volume[..., 2:] - 2.0 * volume[..., 1:-1] + volume[..., :-2]


def noise_field(shape: tuple[int, int, int], spacing_mm, rng: np.random.Generator) -> np.ndarray:
    """Smooth normal noise whose second difference along z has the standard deviation 1, float32 (X, Y, Z)."""
    sigma = NOISE_FWHM_MM / FWHM_PER_SIGMA / np.asarray(spacing_mm)
    field = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    return field / second_difference(field).std()


def restore_noise(
    mean: np.ndarray,
    source: np.ndarray,
    motion: TissueMotion,
    displacement_mm: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Give a mean over displacements the noise back that it has lost, float32 (X, Y, Z).

    A noise field of the same kind is displaced and averaged as the image was; the share of the variance of its second
    difference that is left is measured by the weight of the motion. An independent field makes up for the rest.
    Tissue at rest, and any image that nothing moved, stays what it is.

    Args:
        mean: mean of `source` over the displacements (X, Y, Z).
        source: the PET (X, Y, Z), SUVbw.
        motion: of the tissue, on the PET's grid.
        displacement_mm, shares: as given to `TissueMotion.mean`.
        rng: of the noise.
    """
    if min(source.shape) < 3:
        return mean
    weight = np.zeros(source.shape, np.float32)
    weight[motion.box] = motion.weight
    scale = noise_scale(source, weight > 0.5)
    if scale == 0.0:
        return mean
    tried, added = (noise_field(source.shape, motion.grid.spacing_mm, rng) for _ in range(2))
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
    noisy = mean + (scale * lost * np.sqrt(np.maximum(mean, 0.0)) * added)
    return np.maximum(noisy, np.minimum(mean, 0.0)).astype(np.float32)
