"""CT of the phantom: one breathing phase (helical: it runs on from slice to slice), an average, or an exhale."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .anatomy import Anatomy, texture_on
from .distractors import HEART_MOTION, Distractor
from .grid import Grid
from .motion import Breathing, Excursion, phase_centres
from .tumour import Tumour

AIR_HU = -1000.0
INHALE_HU = -45.0
COUCH_MM_PER_S = 45.0


@dataclass(frozen=True)
class CtTiming:
    """When the CT was taken.

    Args:
        kind: "phase", "average" or "exhale".
        phases: breathing phase of every slice in every image averaged, (P, Z).
    """

    kind: str
    phases: np.ndarray


def time_slices(kind: str, grid: Grid, breathing: Breathing, start_phase: float, num_phases: int) -> CtTiming:
    """Breathing phase of every slice.

    Args:
        kind: "phase" (free breathing: the couch moves 45 mm/s, so the phase runs on along z), "average" (mean of the
            4-D CT's phases) or "exhale".
        grid: grid of the CT.
        breathing: gives the length of a cycle.
        start_phase: phase of the lowest slice of a free-breathing CT.
        num_phases: phases of the average.
    """
    size, step = grid.shape[2], grid.spacing_mm[2]
    if kind == "phase":
        run = np.arange(size) * step / (COUCH_MM_PER_S * breathing.period_s)
        return CtTiming(kind, np.mod(start_phase + run, 1.0)[None])
    centres = phase_centres(num_phases) if kind == "average" else np.array([0.5])
    return CtTiming(kind, np.repeat(centres[:, None], size, axis=1))


def render_ct(
    grid: Grid,
    anatomy: Anatomy,
    breathing: Breathing,
    diaphragm: Excursion,
    tumour: Tumour,
    distractors: list[Distractor],
    timing: CtTiming,
) -> np.ndarray:
    """CT without noise in HU, (X, Y, Z) float32."""
    down = diaphragm.displacement(breathing, timing.phases)[..., 2]
    heart_mm = (HEART_MOTION * down.mean(axis=0)).astype(np.float32)
    layers = anatomy.layers(grid, down, heart_mm)
    lung = next(filled for name, filled in layers if name == "lung")
    inhaled = breathing.inhaled(timing.phases).mean(axis=0).astype(np.float32)
    hu = anatomy.hu["lung"] + INHALE_HU * inhaled + 22.0 * texture_on(anatomy, grid.shape)
    volume = np.full(grid.shape, np.float32(AIR_HU))
    for name, filled in layers:
        volume += filled * ((hu if name == "lung" else np.float32(anatomy.hu[name])) - volume)
        if name == "lung":
            vessels = _vessels(grid, anatomy, down) * lung
            volume += vessels * (np.float32(anatomy.hu["blood"]) - volume)
    for body in (*distractors, tumour):
        _insert(volume, grid, body.lesion, body.excursion.displacement(breathing, timing.phases))
    return volume


def _vessels(grid: Grid, anatomy: Anatomy, down: np.ndarray) -> np.ndarray:
    """Vessels carried along by the lung, averaged over the images; `down` (P, Z) is the diaphragm's displacement."""
    step = grid.spacing_mm[2]
    extra = int(np.ceil(np.abs(down).max() / step)) + 2
    tall = Grid(
        (grid.origin_mm[0], grid.origin_mm[1], grid.origin_mm[2] - extra * step),
        grid.spacing_mm,
        (grid.shape[0], grid.shape[1], grid.shape[2] + 2 * extra),
    )
    still = anatomy.vessels.render(tall)
    z = grid.axes()[2].ravel()
    total = np.zeros(grid.shape, np.float32)
    for displacement in down:
        place = np.arange(grid.shape[2]) + extra - anatomy.motion_share(z) * displacement / step
        low = np.floor(place).astype(int)
        part = (place - low).astype(np.float32)
        total += still[:, :, low] * (1.0 - part) + still[:, :, low + 1] * part
    return total / np.float32(len(down))


def _insert(volume: np.ndarray, grid: Grid, lesion, displacement: np.ndarray) -> None:
    """Paint a moving body, averaged over the images, into the volume; displacement (P, Z, 3) in mm."""
    reach = lesion.reach_mm + max(grid.spacing_mm)
    low = np.asarray(lesion.centre_mm) + displacement.min(axis=(0, 1)) - reach
    high = np.asarray(lesion.centre_mm) + displacement.max(axis=(0, 1)) + reach
    box, index_range = grid.box(low, high)
    overlap = grid.clip_box(index_range)
    if overlap is None:
        return
    inside, within = overlap
    x, y, z = (axis[part] for axis, part in zip(_flat(box), within, strict=True))
    moved = displacement[:, inside[2]].astype(np.float32)
    edge = float(np.mean(grid.spacing_mm))
    covered = np.zeros((len(x), len(y), len(z)), np.float32)
    coloured = np.zeros_like(covered)
    for shift in moved:
        filled, hu, _ = lesion.sample(
            x[:, None, None] - shift[None, None, :, 0],
            y[None, :, None] - shift[None, None, :, 1],
            (z - shift[:, 2])[None, None, :],
            edge,
        )
        covered += filled
        coloured += filled * hu
    volume[inside] = volume[inside] * (1.0 - covered / len(moved)) + coloured / len(moved)


def _flat(grid: Grid) -> tuple[np.ndarray, ...]:
    return tuple(axis.ravel() for axis in grid.axes())


def add_ct_noise(volume: np.ndarray, noise_hu: float, rng: np.random.Generator) -> np.ndarray:
    """CT with noise of the given standard deviation, correlated within the slice; int16 HU, (X, Y, Z)."""
    noise = gaussian_filter(rng.standard_normal(volume.shape, np.float32), (0.5, 0.5, 0.0), mode="wrap", truncate=3.0)
    noise *= np.float32(noise_hu / noise.std())
    return np.clip(np.rint(volume + noise), -1024, 3071).astype(np.int16)
