"""Volumes of bodies and of their union over the breath, against closed forms."""

import numpy as np
import pytest
from igtv.phantom.case import phase_truth, truth_at, unpack_phases
from igtv.phantom.grid import Grid, block_mean, occupancy
from igtv.phantom.lesion import Harmonic, Lesion, legendre, random_rotation
from igtv.phantom.motion import Breathing, Excursion, phase_centres
from igtv.phantom.tumour import Tumour
from igtv.phantom.vessels import tube_distance
from scipy.special import eval_legendre

FINE = Grid.centred((0.3, -0.2, -5.1), (1.0, 1.0, 1.0), (44, 44, 64))


def ball(radius_mm: float, **values) -> Lesion:
    return Lesion("ball", (0.0, 0.0, 0.0), (radius_mm,) * 3, hu=40.0, suv=8.0, **values)


def moving_ball(radius_mm: float, si_mm: float, hysteresis_mm: float = 0.0) -> Tumour:
    excursion = Excursion(si_mm=si_mm, hysteresis_mm=hysteresis_mm)
    return Tumour(ball(radius_mm), excursion, "lower", "parenchyma", "solid", 2 * radius_mm)


def ball_volume(radius):
    return 4 / 3 * np.pi * radius**3


def lens_volume(radius, gap):
    """Intersection of two equal balls whose centres are `gap` apart."""
    return np.pi * (4 * radius + gap) * (2 * radius - gap) ** 2 / 12 if gap < 2 * radius else 0.0


def test_volume_of_a_still_ball():
    mask = truth_at(FINE, moving_ball(15.0, 0.0), Breathing(2, 4.0), 0.0)
    assert mask.sum() == pytest.approx(ball_volume(15.0), rel=0.01)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("si_mm", [5.0, 10.0, 20.0])
def test_union_over_ten_phases(order, si_mm):
    """Balls on a line: each further one adds its volume less the lens it shares with its neighbour."""
    radius = 12.5
    breathing = Breathing(order, 4.0)
    union = phase_truth(FINE, moving_ball(radius, si_mm), breathing, 10) > 0
    # phases 1-4 and 9-6 coincide without hysteresis; the amplitude follows Lujan's formula
    places = np.sort(si_mm * np.cos(np.pi * np.arange(6) / 10) ** (2 * order))
    expected = ball_volume(radius) + sum(ball_volume(radius) - lens_volume(radius, g) for g in np.diff(places))
    assert union.sum() == pytest.approx(expected, rel=0.01)


def test_union_over_many_phases_is_a_capsule():
    breathing, tumour = Breathing(2, 4.0), moving_ball(10.0, 20.0)
    union = np.any([truth_at(FINE, tumour, breathing, p) for p in np.linspace(0, 0.5, 60)], axis=0)
    # domain fact: V = pi D^3 / 6 + A pi D^2 / 4
    assert union.sum() == pytest.approx(ball_volume(10.0) + 20.0 * np.pi * 100.0, rel=0.01)
    rows = np.flatnonzero(union.any(axis=(0, 1))) + FINE.origin_mm[2]
    assert rows.min() == pytest.approx(-30.0, abs=1.0) and rows.max() == pytest.approx(10.0, abs=1.0)


def test_bits_are_the_phases():
    breathing, tumour = Breathing(1, 4.0), moving_ball(8.0, 15.0, hysteresis_mm=4.0)
    masks = unpack_phases(phase_truth(FINE, tumour, breathing, 10), 10)
    for mask, phase in zip(masks, phase_centres(10), strict=True):
        np.testing.assert_array_equal(mask, truth_at(FINE, tumour, breathing, phase))
    # phase 0 is full inhale: lowest; phase 5 full exhale: highest
    heights = [np.argwhere(mask)[:, 2].mean() for mask in masks]
    assert np.argmin(heights) == 0 and np.argmax(heights) == 5
    assert heights[5] - heights[0] == pytest.approx(15.0, abs=0.5)


def test_phase_may_differ_between_slices():
    """A helical scan: every slice shows the tumour at its own phase."""
    breathing, tumour = Breathing(1, 4.0), moving_ball(8.0, 12.0)
    phase = np.linspace(0, 0.5, FINE.shape[2])
    mixed = truth_at(FINE, tumour, breathing, phase)
    for row in (10, 30, 40, 50):
        np.testing.assert_array_equal(mixed[..., row], truth_at(FINE, tumour, breathing, phase[row])[..., row])


def test_rotation_keeps_the_volume():
    lesion = Lesion("egg", (0, 0, 0), (8.0, 12.0, 16.0), 0.0, 1.0, rotation=random_rotation(np.random.default_rng(0)))
    volume = lesion.contains(*FINE.axes()).sum()
    assert volume == pytest.approx(4 / 3 * np.pi * 8 * 12 * 16, rel=0.01)


def test_harmonic_moves_the_surface_where_it_says():
    lesion = ball(10.0, harmonics=(Harmonic(2, 0.1, (0.0, 0.0, 1.0)),))
    # P2 is 1 at the pole and -1/2 at the equator
    for point, inside in (((0, 0, 10.9), True), ((0, 0, 11.1), False), ((9.4, 0, 0), True), ((9.6, 0, 0), False)):
        assert bool(lesion.contains(*map(np.float32, point))) is inside


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_legendre(degree):
    cosine = np.linspace(-1, 1, 11)
    np.testing.assert_allclose(legendre(degree, cosine), eval_legendre(degree, cosine), atol=1e-6)


def test_core_and_rim_values():
    lesion = ball(20.0, core_share=0.5, core_hu=10.0, core_suv=1.0, rim_share=0.2, rim_hu=-500.0, rim_suv=2.0)
    radii = np.array([2.0, 13.0, 19.0], np.float32)
    _, hu, suv = lesion.sample(radii, np.zeros(3, np.float32), np.zeros(3, np.float32), edge_mm=1.0)
    np.testing.assert_allclose(hu, [10.0, 40.0, -500.0], atol=1e-4)
    np.testing.assert_allclose(suv, [1.0, 8.0, 2.0], atol=1e-5)


def test_occupancy_ramp():
    np.testing.assert_allclose(occupancy(np.float32([-3, -1, 0, 1, 3]), 4.0), [1, 0.75, 0.5, 0.25, 0])


def test_refined_grid_covers_the_same_space():
    grid = Grid((10.0, -20.0, 5.0), (4.0, 4.0, 3.0), (3, 4, 5))
    for coarse, fine in zip(grid.axes(), grid.refined(2).axes(), strict=True):
        np.testing.assert_allclose(fine.ravel().reshape(-1, 2).mean(axis=1), coarse.ravel(), atol=1e-5)
    assert block_mean(np.ones(grid.refined(2).shape, np.float32), 2).shape == grid.shape


def test_tube_distance():
    start, end = np.array([0.0, 0, 0]), np.array([0.0, 0, 10])
    points = np.float32([[3, 0, 5], [0, 4, 13], [0, 0, -2]]).T
    np.testing.assert_allclose(tube_distance(*points, start, end), [3.0, 5.0, 2.0], atol=1e-5)
