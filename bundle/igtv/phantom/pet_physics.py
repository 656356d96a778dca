"""PET of the phantom: uptake averaged over the breathing, blurred by the scanner, noisy, in SUVbw."""

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.special import ive

from .anatomy import Anatomy, paint
from .distractors import HEART_MOTION, Distractor
from .grid import Grid, block_mean
from .lesion import Lesion
from .motion import Breathing, BreathTrace, Excursion, time_average
from .tumour import Tumour

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
SUPERSAMPLING = 2
LIVER_SUV = 2.2
# change of SUV where the CT used for attenuation shows lung but the PET mostly liver, or the reverse
ATTENUATION_ERROR = 0.2


def render_uptake(
    grid: Grid,
    anatomy: Anatomy,
    breathing: Breathing,
    diaphragm: Excursion,
    tumour: Tumour,
    distractors: list[Distractor],
    trace: BreathTrace,
) -> np.ndarray:
    """Uptake averaged over the acquisition, before the scanner's blur, in SUVbw, (X, Y, Z) float32."""
    down = diaphragm.along(breathing, trace)[:, 2]
    layers = anatomy.layers(grid, down, float(HEART_MOTION * down.mean()))
    volume = paint(layers, anatomy.suv, 0.0, grid.shape)
    for body in (*distractors, tumour):
        insert_average(volume, grid, body.lesion, body.excursion.along(breathing, trace))
    return volume


def insert_average(volume: np.ndarray, grid: Grid, lesion: Lesion, displacement_mm: np.ndarray) -> None:
    """Put the time average of a moving body into the volume, in place.

    The body is drawn once, finer than the grid, and convolved with its dwell-time density: this keeps its activity.

    Args:
        volume: uptake around it (X, Y, Z).
        grid: grid of the volume.
        lesion: the body.
        displacement_mm: (T, 3), even time steps.
    """
    centre = np.asarray(lesion.centre_mm)
    reach = lesion.reach_mm + 2 * max(grid.spacing_mm)
    span = np.abs(displacement_mm).max(axis=0)
    box, index_range = grid.box(centre - span - reach, centre + span + reach)
    overlap = grid.clip_box(index_range)
    if overlap is None:
        return
    fine = box.refined(SUPERSAMPLING)
    filled, _, suv = lesion.sample(*fine.axes(), edge_mm=float(np.mean(fine.spacing_mm)))
    filled, activity = (
        block_mean(time_average(part, displacement_mm, fine.spacing_mm), SUPERSAMPLING)
        for part in (filled, filled * suv)
    )
    inside, within = overlap
    volume[inside] = volume[inside] * (1.0 - filled[within]) + activity[within]


def blur(volume: np.ndarray, fwhm_mm: float, spacing_mm) -> np.ndarray:
    """Scanner's resolution: Gaussian of the given full width at half maximum.

    The volume already holds averages over voxels, whose variance (width^2 / 12) is part of the resolution and
    therefore taken off the Gaussian's. Its kernel is the discrete Gaussian, whose variance is exact even where the
    standard deviation is less than half a voxel and a sampled Gaussian would come out too narrow.

    Reference: Lindeberg, IEEE TPAMI 12:234 (1990), T(n, t) = exp(-t) I_n(t).
    """
    for axis, spacing in enumerate(spacing_mm):
        variance = max((fwhm_mm / FWHM_PER_SIGMA / spacing) ** 2 - 1.0 / 12.0, 0.0)
        reach = int(np.ceil(5.0 * np.sqrt(variance))) + 1
        kernel = ive(np.abs(np.arange(-reach, reach + 1)), variance)
        volume = correlate1d(volume, kernel / kernel.sum(), axis=axis, mode="nearest")
    return volume


def attenuation_error(
    grid: Grid, anatomy: Anatomy, breathing: Breathing, diaphragm: Excursion, trace: BreathTrace, ct_phases: np.ndarray
) -> np.ndarray:
    """Factor on the SUV from correcting attenuation with a CT of another breathing state.

    Args:
        grid: grid of the PET.
        anatomy: the thorax.
        breathing, diaphragm, trace: the diaphragm during the PET.
        ct_phases: breathing phases (P,) that the CT shows at the height of the diaphragm.
    """
    during_pet = anatomy.below_diaphragm(grid, diaphragm.along(breathing, trace)[:, 2], 0.0)
    in_ct = anatomy.below_diaphragm(grid, diaphragm.displacement(breathing, ct_phases)[:, 2], 0.0)
    # liver seen as lung is corrected too little: it looks fainter than it is
    return 1.0 - np.float32(ATTENUATION_ERROR) * (during_pet - in_ct)


def add_pet_noise(volume: np.ndarray, liver_variation: float, rng: np.random.Generator) -> np.ndarray:
    """PET with noise correlated over about a voxel; variance proportional to the uptake, as in OSEM.

    Args:
        volume: SUVbw (X, Y, Z).
        liver_variation: coefficient of variation in the liver.
        rng: source of randomness.
    """
    noise = gaussian_filter(rng.standard_normal(volume.shape, np.float32), 0.8, mode="wrap", truncate=3.0)
    noise *= np.float32(liver_variation / noise.std())
    return np.maximum(volume + noise * np.sqrt(np.maximum(volume, 0.02) * np.float32(LIVER_SUV)), 0.0)
