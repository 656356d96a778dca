"""Breathing: Lujan's cycle with hysteresis, irregular cycles and baseline drift; dwell-time averages of moving bodies.

Phase 0 is full inhale and 0.5 full exhale, as 4-D CT counts them. On inhaling the lung moves down and the front of
the chest forward, so displacements from the exhale position are negative along z and positive along y (RAS).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve


@dataclass(frozen=True)
class BreathTrace:
    """Samples of the breathing during an acquisition, each array of shape (T,).

    Args:
        phase: position within the cycle, 0 to 1.
        depth: depth of the cycle the sample lies in, relative to the mean cycle.
        baseline_mm: shift of the exhale position along z.
    """

    phase: np.ndarray
    depth: np.ndarray
    baseline_mm: np.ndarray


@dataclass(frozen=True)
class Breathing:
    """How a patient breathes.

    Args:
        order: n of Lujan's formula; 1 is symmetric, larger values stay longer near exhale.
        period_s: mean length of a cycle.
        cycle_jitter: relative standard deviation of the depth and length of single cycles.
        drift_mm: change of the exhale position along z from the first to the last cycle of the PET acquisition.
    """

    order: int
    period_s: float
    cycle_jitter: float = 0.0
    drift_mm: float = 0.0

    def inhaled(self, phase) -> np.ndarray:
        """Inhaled part of the breath, 0 at exhale to 1 at inhale: cos^2n(pi * phase).

        Reference: Lujan et al., Med Phys 26:715 (1999), z(t) = z0 - b cos^2n(pi t / T - phi).
        """
        return np.cos(np.pi * np.asarray(phase, np.float64)) ** (2 * self.order)

    def trace(self, num_cycles: int, samples_per_cycle: int, rng: np.random.Generator) -> BreathTrace:
        """Irregular breathing sampled at even time steps.

        Args:
            num_cycles: cycles of the acquisition.
            samples_per_cycle: samples in a cycle of mean length.
            rng: source of the irregularity.
        """
        irregularity = np.clip(rng.normal(0.0, 1.0, (2, num_cycles)), -2.0, 2.0) * self.cycle_jitter
        lengths = np.maximum(np.rint(samples_per_cycle * (1.0 + irregularity[0])), 4).astype(int)
        phase = np.concatenate([np.arange(n) / n for n in lengths])
        depth = np.repeat(1.0 + irregularity[1], lengths)
        # the exhale position of the mean cycle is that of the 4-D CT, so the drift is centred on it
        baseline = np.repeat(self.drift_mm * (np.linspace(0.0, 1.0, num_cycles) - 0.5), lengths)
        return BreathTrace(phase, depth, baseline)


@dataclass(frozen=True)
class Excursion:
    """Path of one body during a mean breath.

    Args:
        si_mm: way down from exhale to inhale.
        ap_mm: way forward.
        lr_mm: way to the right (negative: left).
        hysteresis_mm: largest distance between the way in and the way out, along y.
        drift_share: share of the baseline drift that the body follows.
    """

    si_mm: float = 0.0
    ap_mm: float = 0.0
    lr_mm: float = 0.0
    hysteresis_mm: float = 0.0
    drift_share: float = 0.0

    def displacement(self, breathing: Breathing, phase, depth=1.0, baseline_mm=0.0) -> np.ndarray:
        """Displacement from the mean exhale position in mm, shape (..., 3) with order x, y, z."""
        inhaled = breathing.inhaled(phase) * depth
        loop = 0.5 * self.hysteresis_mm * np.sin(2.0 * np.pi * np.asarray(phase, np.float64)) * depth
        down = -self.si_mm * inhaled + self.drift_share * baseline_mm
        return np.stack(np.broadcast_arrays(self.lr_mm * inhaled, self.ap_mm * inhaled + loop, down), axis=-1)

    def along(self, breathing: Breathing, trace: BreathTrace) -> np.ndarray:
        """Displacements (T, 3) in mm along a trace."""
        return self.displacement(breathing, trace.phase, trace.depth, trace.baseline_mm)


def phase_centres(num_phases: int) -> np.ndarray:
    """Phases of a 4-D CT, shape (num_phases,): 0, 1/n, ... with 0 the full inhale."""
    return np.arange(num_phases) / num_phases


def dwell_kernel(displacement_mm: np.ndarray, spacing_mm) -> np.ndarray:
    """Share of time that a body spends at each displacement, as a convolution kernel with odd sides.

    Every sample is shared between the eight nearest grid points, so that sum (1) and mean displacement are kept.

    Args:
        displacement_mm: samples at even time steps, (T, 3).
        spacing_mm: voxel size of the volume that will be convolved.
    """
    steps = np.asarray(displacement_mm, np.float64) / np.asarray(spacing_mm)
    reach = np.ceil(np.abs(steps).max(axis=0)).astype(int) + 1
    kernel = np.zeros(2 * reach + 1)
    base = np.floor(steps).astype(int)
    part = steps - base
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1.0 - part), axis=1)
        np.add.at(kernel, tuple((base + corner + reach).T), weight)
    return kernel / len(steps)


def time_average(volume: np.ndarray, displacement_mm: np.ndarray, spacing_mm) -> np.ndarray:
    """Mean over time of a volume that moves rigidly: its convolution with the dwell-time kernel.

    Args:
        volume: the body at displacement zero (X, Y, Z), with room for its motion around it.
        displacement_mm: samples at even time steps, (T, 3).
        spacing_mm: voxel size of `volume`.
    """
    kernel = dwell_kernel(displacement_mm, spacing_mm).astype(np.float32)
    return np.maximum(fftconvolve(volume, kernel, mode="same"), 0.0, dtype=np.float32)
