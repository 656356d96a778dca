"""CT and PET: resolution by measurement, activity kept, noise as asked, breathing where it belongs."""

import numpy as np
import pytest
from igtv.phantom.anatomy import draw_anatomy
from igtv.phantom.ct_physics import add_ct_noise, render_ct, time_slices
from igtv.phantom.grid import Grid
from igtv.phantom.lesion import Lesion
from igtv.phantom.motion import Breathing, Excursion
from igtv.phantom.pet_physics import LIVER_SUV, add_pet_noise, attenuation_error, blur, insert_average
from igtv.phantom.tumour import Tumour

PET_GRID = Grid.centred((0.0, 0.0, 0.0), (4.0, 4.0, 3.0), (25, 25, 33))


def full_width_mm(profile: np.ndarray, place_mm: np.ndarray) -> float:
    """Full width at half maximum of a Gaussian profile by its second moment."""
    mean = profile @ place_mm / profile.sum()
    variance = profile @ (place_mm - mean) ** 2 / profile.sum()
    return 2 * np.sqrt(2 * np.log(2) * variance)


@pytest.mark.parametrize("fwhm_mm", [5.0, 6.0, 7.0])
def test_resolution_measured_on_a_ball(fwhm_mm):
    radius = 6.0
    volume = np.zeros(PET_GRID.shape, np.float32)
    source = Lesion("source", (0.7, -0.4, 0.9), (radius,) * 3, 0.0, 100.0)
    insert_average(volume, PET_GRID, source, np.zeros((1, 3)))
    picture = blur(volume, fwhm_mm, PET_GRID.spacing_mm)
    for axis in range(3):
        profile = picture.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        measured = full_width_mm(profile, PET_GRID.axes()[axis].ravel())
        # the source itself has the variance r^2 / 5
        resolution = np.sqrt(measured**2 - 8 * np.log(2) * radius**2 / 5)
        assert resolution == pytest.approx(fwhm_mm, rel=0.03)


@pytest.mark.parametrize("si_mm", [0.0, 8.0, 20.0])
def test_average_keeps_the_activity(si_mm):
    """However the body moves, mean uptake times volume is that of the still body (nothing around it)."""
    breathing = Breathing(2, 4.0, cycle_jitter=0.15, drift_mm=2.0)
    path = Excursion(si_mm=si_mm, ap_mm=2.0, hysteresis_mm=3.0, drift_share=1.0).along(
        breathing, breathing.trace(12, 40, np.random.default_rng(0))
    )
    body = Lesion("ball", (0.0, 0.0, 8.0), (12.0,) * 3, 0.0, 8.0)
    volume = np.zeros(PET_GRID.shape, np.float32)
    insert_average(volume, PET_GRID, body, path)
    total = volume.sum(dtype=np.float64) * np.prod(PET_GRID.spacing_mm)
    assert total == pytest.approx(8.0 * 4 / 3 * np.pi * 12.0**3, rel=0.02)
    # and its centre is the mean position
    z = PET_GRID.axes()[2].ravel()
    centre = volume.sum(axis=(0, 1), dtype=np.float64) @ z / volume.sum(dtype=np.float64)
    assert centre == pytest.approx(8.0 + path[:, 2].mean(), abs=0.1)


def test_blur_keeps_the_activity():
    volume = np.zeros((21, 21, 21), np.float32)
    volume[8:13, 8:13, 8:13] = 5.0
    assert blur(volume, 6.0, (4.0, 4.0, 3.0)).sum() == pytest.approx(volume.sum(), rel=1e-4)


def test_moving_makes_the_inhale_end_fainter():
    """Domain facts, 5c: D 25 mm, A 10 mm, n 2, FWHM 6 mm: contrast of the outer 6 mm 0.38 superior, 0.18 inferior."""
    breathing = Breathing(2, 4.0)
    path = Excursion(si_mm=10.0).along(breathing, breathing.trace(1, 200, np.random.default_rng(0)))
    grid = Grid.centred((0.0, 0.0, -5.0), (1.0, 1.0, 1.0), (49, 49, 61))
    volume = np.full(grid.shape, np.float32(0.5))
    body = Lesion("ball", (0.0, 0.0, 0.0), (12.5,) * 3, 0.0, 8.0)
    insert_average(volume, grid, body, path)
    contrast = blur(volume, 6.0, grid.spacing_mm) - 0.5
    x, y, z = grid.axes()
    swept = np.any([body.contains(x, y, z - d) for d in np.linspace(-10, 0, 40)], axis=0)
    top, bottom = swept & (z > 12.5 - 6.0), swept & (z < -22.5 + 6.0)
    assert contrast[top].mean() / contrast.max() == pytest.approx(0.38, abs=0.06)
    assert contrast[bottom].mean() / contrast.max() == pytest.approx(0.18, abs=0.05)


def test_pet_noise_level_and_correlation():
    volume = np.full((60, 60, 40), np.float32(LIVER_SUV))
    noise = add_pet_noise(volume, 0.12, np.random.default_rng(0)) - LIVER_SUV
    assert noise.std() / LIVER_SUV == pytest.approx(0.12, rel=0.03)
    neighbours = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert 0.5 < neighbours < 0.8
    # variance in proportion to the uptake
    faint = add_pet_noise(volume / 4, 0.12, np.random.default_rng(0)) - LIVER_SUV / 4
    assert faint.std() / noise.std() == pytest.approx(0.5, rel=0.03)


def test_ct_noise_level():
    noisy = add_ct_noise(np.full((50, 50, 20), np.float32(40.0)), 30.0, np.random.default_rng(0))
    assert noisy.dtype == np.int16
    assert noisy.mean() == pytest.approx(40.0, abs=1.0)
    assert noisy.std() == pytest.approx(30.0, rel=0.02)


@pytest.fixture(scope="module")
def thorax():
    anatomy = draw_anatomy(np.random.default_rng(5), distractors=False)
    grid = Grid.centred((0.0, 0.0, 40.0), (8.0, 8.0, 4.0), (42, 30, 40))
    breathing = Breathing(2, 4.0)
    tumour = Tumour(
        Lesion("tumour", (70.0, 10.0, 60.0), (15.0,) * 3, 40.0, 8.0),
        Excursion(si_mm=16.0), "lower", "parenchyma", "solid", 30.0,
    )  # fmt: skip
    return grid, anatomy, breathing, Excursion(si_mm=20.0, drift_share=1.0), tumour


def ct_of(thorax, kind, start_phase=0.0):
    grid, anatomy, breathing, diaphragm, tumour = thorax
    timing = time_slices(kind, grid, breathing, start_phase, 10)
    return render_ct(grid, anatomy, breathing, diaphragm, tumour, [], timing)


def test_ct_values_of_known_places(thorax):
    grid, anatomy, *_ = thorax
    volume = ct_of(thorax, "exhale")

    def at(*place_mm):
        return volume[tuple(np.rint((np.array(place_mm) - grid.origin_mm) / grid.spacing_mm).astype(int))]

    assert at(70, 10, 60) == pytest.approx(40, abs=5)  # tumour at exhale
    assert at(100, 0, 90) < -650  # right lung
    assert at(60, 0, -30) == pytest.approx(anatomy.hu["liver"], abs=5)
    assert at(-60, 0, -34) == pytest.approx(anatomy.hu["abdomen"], abs=10)
    assert at(160, 110, 60) == pytest.approx(-1000, abs=1)  # air outside
    heart = tuple(anatomy.heart_centre_mm)
    assert at(*heart) == pytest.approx(anatomy.hu["blood"], abs=5)


def test_average_ct_is_the_mean_of_the_phases(thorax):
    grid, anatomy, breathing, diaphragm, tumour = thorax
    still = []
    for phase in np.arange(10) / 10:
        timing = time_slices("exhale", grid, breathing, 0.0, 10)
        timing.phases[:] = phase
        still.append(render_ct(grid, anatomy, breathing, diaphragm, tumour, [], timing))
    average = ct_of(thorax, "average")
    # the tumour's column: only lung and tumour there, which mix exactly up to the order of blending
    column = tuple(np.rint((np.array([70.0, 10.0]) - grid.origin_mm[:2]) / grid.spacing_mm[:2]).astype(int))
    difference = average[column] - np.mean(still, axis=0)[column]
    assert np.abs(difference).max() < 40.0
    assert average[column].min() < -700 and average[column].max() > 0


def test_free_breathing_ct_runs_through_the_phases(thorax):
    grid, _, breathing, *_ = thorax
    timing = time_slices("phase", grid, breathing, 0.2, 10)
    assert timing.phases.shape == (1, grid.shape[2])
    # 45 mm/s of couch and 4 s per breath: 180 mm for a cycle
    assert timing.phases[0, 0] == pytest.approx(0.2)
    assert timing.phases[0, 20] - timing.phases[0, 0] == pytest.approx(80.0 / 180.0)


def test_attenuation_error_sits_at_the_diaphragm(thorax):
    grid, anatomy, breathing, diaphragm, _ = thorax
    trace = breathing.trace(4, 40, np.random.default_rng(0))
    # CT at full inhale: it shows lung where the PET mostly has liver
    factor = attenuation_error(grid, anatomy, breathing, diaphragm, trace, np.array([0.0]))
    assert factor.min() == pytest.approx(0.8, abs=0.03) and factor.max() == pytest.approx(1.0, abs=0.03)
    z = np.broadcast_to(grid.axes()[2], grid.shape)
    assert np.all(np.abs(factor[(z > 8.0)] - 1.0) < 1e-6)
