"""Breathing: Lujan's formula by hand, hysteresis and drift, dwell-time averages."""

import numpy as np
import pytest
from igtv.phantom.motion import Breathing, BreathTrace, Excursion, dwell_kernel, phase_centres, time_average


@pytest.mark.parametrize("order, quarter, mean", [(1, 0.5, 1 / 2), (2, 0.25, 3 / 8), (3, 0.125, 5 / 16)])
def test_lujan_values(order, quarter, mean):
    breathing = Breathing(order, 4.0)
    # cos(pi/4)^2n = 2^-n, and the mean of cos^2n over a cycle is binomial(2n, n) / 4^n
    np.testing.assert_allclose(breathing.inhaled([0.0, 0.25, 0.5, 0.75]), [1, quarter, 0, quarter], atol=1e-12)
    assert breathing.inhaled(np.arange(1000) / 1000).mean() == pytest.approx(mean, abs=1e-9)


def test_directions_and_amplitude():
    path = Excursion(si_mm=12.0, ap_mm=3.0, lr_mm=-1.0).displacement(Breathing(2, 4.0), phase_centres(10))
    np.testing.assert_allclose(path[0], [-1.0, 3.0, -12.0], atol=1e-12)  # full inhale: down, forward, left
    np.testing.assert_allclose(path[5], 0.0, atol=1e-12)  # full exhale
    assert np.ptp(path[:, 2]) == pytest.approx(12.0)


def test_hysteresis_separates_the_ways_in_and_out():
    path = Excursion(si_mm=10.0, hysteresis_mm=4.0).displacement(Breathing(1, 4.0), [0.25, 0.75])
    assert path[0, 2] == pytest.approx(path[1, 2])
    assert abs(path[0, 1] - path[1, 1]) == pytest.approx(4.0)


def test_regular_trace_samples_the_cycle_evenly():
    trace = Breathing(1, 4.0).trace(3, 40, np.random.default_rng(0))
    assert trace.phase.shape == (120,)
    np.testing.assert_allclose(trace.phase[:40], np.arange(40) / 40)
    np.testing.assert_allclose(trace.depth, 1.0)


def test_drift_and_jitter_of_a_trace():
    trace = Breathing(1, 4.0, cycle_jitter=0.15, drift_mm=3.0).trace(200, 40, np.random.default_rng(0))
    assert trace.baseline_mm[-1] - trace.baseline_mm[0] == pytest.approx(3.0)
    depths = trace.depth[trace.phase == 0.0]
    assert len(depths) == 200
    # 0.15 cut at two standard deviations
    assert 0.11 < depths.std() < 0.16
    assert np.abs(depths - 1).max() <= 0.3 + 1e-12


def test_drift_share():
    trace = BreathTrace(np.array([0.5, 0.5]), np.ones(2), np.array([-1.0, 1.0]))
    path = Excursion(si_mm=5.0, drift_share=0.5).along(Breathing(2, 4.0), trace)
    np.testing.assert_allclose(path[:, 2], [-0.5, 0.5])


def test_dwell_kernel_keeps_sum_and_mean():
    displacement = np.random.default_rng(1).uniform(-7.0, 5.0, (300, 3))
    spacing = np.array([2.0, 2.0, 1.5])
    kernel = dwell_kernel(displacement, spacing)
    assert kernel.sum() == pytest.approx(1.0)
    for axis in range(3):
        profile = kernel.sum(axis=tuple(a for a in range(3) if a != axis))
        place = (np.arange(len(profile)) - len(profile) // 2) * spacing[axis]
        assert profile @ place == pytest.approx(displacement[:, axis].mean(), abs=1e-9)


def test_time_average_equals_the_mean_of_shifted_copies():
    rng = np.random.default_rng(2)
    volume = np.zeros((20, 20, 20), np.float32)
    volume[8:12, 8:12, 8:12] = rng.uniform(size=(4, 4, 4))
    steps = rng.integers(-3, 4, (50, 3))
    expected = np.mean([np.roll(volume, tuple(step), axis=(0, 1, 2)) for step in steps], axis=0)
    np.testing.assert_allclose(time_average(volume, steps * 2.0, (2.0, 2.0, 2.0)), expected, atol=1e-6)
