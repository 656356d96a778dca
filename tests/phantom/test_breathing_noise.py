"""Noise of moving tissue on PET and average CT: as at rest, none where there was none, none without motion."""

import numpy as np
import pytest
from igtv.phantom.grid import Grid
from igtv.phantom.lost_noise import (
    ct_noise_scale,
    noise_field,
    pet_noise_scale,
    restore_ct_noise,
    restore_pet_noise,
    second_difference,
)
from igtv.phantom.tissue_motion import TissueMotion

SPACING = (4.0, 4.0, 3.0)


@pytest.fixture(scope="module")
def scene():
    """Even uptake with 5 % noise; the upper half of x moves 12 mm along z, the lower half rests."""
    grid = Grid((0.0, 0.0, 0.0), SPACING, (40, 24, 40))
    pet = (4.0 * (1.0 + 0.05 * noise_field(grid.shape, SPACING, 5.0, np.random.default_rng(0)))).astype(np.float32)
    motion = TissueMotion(np.ones((20, 24, 40), np.float32), (20, 0, 0), grid, (12.0, 12.0, 30.0))
    path = np.zeros((41, 3))
    path[:, 2] = np.linspace(-6.0, 6.0, 41)
    return pet, motion, path, np.full(41, 1 / 41)


def texture(volume):
    return second_difference(volume)[..., 6:-6].std()


def test_noise_is_measured_against_the_root_of_the_uptake(scene):
    pet = scene[0]
    assert pet_noise_scale(pet) == pytest.approx(0.05 * 4.0 / 4.0**0.5, rel=0.05)
    assert pet_noise_scale(4.0 * pet) == pytest.approx(2.0 * pet_noise_scale(pet))
    assert pet_noise_scale(np.full((9, 9, 9), 2.0)) == 0.0


def test_moving_tissue_has_the_noise_of_tissue_at_rest(scene):
    pet, motion, path, shares = scene
    mean = motion.mean(pet, path, shares)
    assert texture(mean[20:]) < 0.4 * texture(pet[:20])  # what gave the tumour away
    restored = restore_pet_noise(mean, pet, motion, path, shares, np.random.default_rng(1))
    assert texture(restored[20:]) == pytest.approx(texture(pet[:20]), rel=0.1)
    assert np.array_equal(restored[:20], pet[:20])
    assert restored[20:].mean() == pytest.approx(mean[20:].mean(), rel=0.01)


def test_without_motion_or_noise_nothing_is_added(scene):
    pet, motion, path, shares = scene
    still = motion.mean(pet, np.zeros_like(path), shares)
    restored = restore_pet_noise(still, pet, motion, np.zeros_like(path), shares, np.random.default_rng(1))
    np.testing.assert_allclose(restored, pet, rtol=2e-4)
    flat = np.full(pet.shape, 3.0, np.float32)
    assert restore_pet_noise(flat, flat, motion, path, shares, np.random.default_rng(1)) is flat


def test_an_average_ct_has_the_same_noise_where_tissue_moves(scene):
    """SD of 25 HU in second differences, whatever the HU; ten phases take three quarters of it."""
    _, motion, path, _ = scene
    shape = motion.grid.shape
    ct = (40.0 + 25.0 * noise_field(shape, SPACING, 1.5, np.random.default_rng(2))).astype(np.float32)
    assert ct_noise_scale(ct) == pytest.approx(25.0, rel=0.03)
    phases = path[::4][:10]
    mean = motion.mean(ct, phases)
    assert texture(mean[20:]) < 0.5 * texture(ct[:20])
    restored = restore_ct_noise(mean, ct, motion, phases, np.random.default_rng(1))
    assert texture(restored[20:]) == pytest.approx(texture(ct[:20]), rel=0.1)
    assert np.array_equal(restored[:20], ct[:20])
    assert restored[20:].mean() == pytest.approx(40.0, abs=1.0)
    air = np.full(shape, -1000.0, np.float32)
    assert restore_ct_noise(air, air, motion, phases, np.random.default_rng(1)) is air
