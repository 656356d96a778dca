"""Tissue motion and moving targets against closed forms: translation, capsule, arcsine law, one-to-one maps."""

import numpy as np
import pytest
from igtv.phantom.breathing_case import dwell_points
from igtv.phantom.grid import Grid
from igtv.phantom.motion import Breathing, Excursion
from igtv.phantom.moving_target import MovingTarget
from igtv.phantom.tissue_motion import TissueMotion, build_tissue_motion, tissue_at_rest
from scipy.ndimage import map_coordinates

FADE_MM = (12.0, 12.0, 30.0)


def ball(grid, centre_mm, radius_mm):
    x, y, z = grid.axes()
    return (x - centre_mm[0]) ** 2 + (y - centre_mm[1]) ** 2 + (z - centre_mm[2]) ** 2 < radius_mm**2


def everywhere(grid):
    """The whole image moves with the tumour."""
    return TissueMotion(np.ones(grid.shape, np.float32), (0, 0, 0), grid, FADE_MM)


@pytest.fixture(scope="module")
def scene():
    """A ball of 20 mm that moves 8 mm down, 3 mm forward and back; a bone at the left, air at the right."""
    grid = Grid((-60.0, -40.0, -70.0), (2.0, 2.0, 2.5), (60, 40, 56))
    gtv = ball(grid, (0.0, 0.0, 5.0), 10.0)
    ct = np.where(gtv, 40, -100).astype(np.int16)
    ct[:4] = 700
    ct[-5:] = -1000
    path = np.array([[0.0, 3.0, 0.0], [0.5, -3.0, -8.0], [0.0, 0.0, 1.0]])
    return grid, ct, gtv, path, build_tissue_motion(grid, ct, gtv, path, FADE_MM, 0.6)


def test_the_tumour_moves_as_a_whole_and_bone_and_air_rest(scene):
    grid, ct, gtv, path, motion = scene
    weight = np.zeros(grid.shape)
    weight[motion.box] = motion.weight
    for displacement in path:
        moved = ball(grid, np.array([0.0, 0.0, 5.0]) + displacement, 10.0)
        assert weight[moved].min() > 0.99999
    assert weight.min() >= 0.0 and weight.max() <= 1.0
    assert (tissue_at_rest(ct, grid.voxel_volume_ml)[[0, -1]]).all()
    assert weight[:4].max() < 0.01 and weight[-5:].max() < 0.01
    # only where the tumour goes: more room below than above
    z = grid.axes()[2].ravel()
    moving = np.flatnonzero((weight > 0.99999).any(axis=(0, 1)))
    assert -24.0 < z[moving[0]] <= -13.0 and 16.0 <= z[moving[-1]] < 27.0


@pytest.mark.parametrize("largest", [2.0, 8.0, 30.0])
def test_nothing_folds_however_far_it_moves(scene, largest):
    """The fade widens with the motion: the determinant stays within 1 +- max_strain, on the grid and between."""
    grid, ct, gtv, path, _ = scene
    scaled = path * largest / 8.0
    motion = build_tissue_motion(grid, ct, gtv, scaled, FADE_MM, 0.6)
    for displacement in scaled:
        assert np.abs(motion.jacobian(displacement) - 1.0).max() <= 0.6
        # steepest slope between neighbours in any direction of space
        slopes = [np.abs(np.diff(motion.weight, axis=a)).max() / grid.spacing_mm[a] for a in range(3)]
        assert np.dot(np.abs(displacement), slopes) < 1.0
    if largest == 2.0:
        assert motion.fade_mm == FADE_MM
        assert np.array_equal(motion.weight, np.clip(motion.weight, 0, 1))


def test_mean_and_sharp_warp_are_what_the_map_says(scene):
    """x -> x - w(x) d, by another interpolation of the whole volume."""
    grid, _, _, path, motion = scene
    volume = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    weight = np.zeros(grid.shape)
    weight[motion.box] = motion.weight
    places = np.indices(grid.shape) - weight * (path[1] / grid.spacing_mm)[:, None, None, None]
    for order, warped in ((1, motion.mean(volume, path[1][None])), (3, motion.sharp(volume, path[1]))):
        expected = map_coordinates(volume, places, order=order, mode="nearest")
        np.testing.assert_allclose(warped, np.clip(expected, volume.min(), volume.max()), atol=2e-3)
    both = motion.mean(volume, path[:2], np.array([0.25, 0.75]))
    single = [motion.mean(volume, displacement[None]) for displacement in path[:2]]
    np.testing.assert_allclose(both, 0.25 * single[0] + 0.75 * single[1], atol=1e-5)


def test_each_slice_may_have_its_own_displacement(scene):
    grid, _, _, path, motion = scene
    volume = np.random.default_rng(1).normal(size=grid.shape).astype(np.float32)
    by_slice = np.tile(path[0], (grid.shape[2], 1))
    by_slice[30:] = path[1]
    for warp in (motion.sharp, lambda v, d: motion.mean(v, d[None])):
        joined, parts = warp(volume, by_slice), [warp(volume, displacement) for displacement in path[:2]]
        np.testing.assert_allclose(joined[..., :30], parts[0][..., :30], atol=1e-4)
        np.testing.assert_allclose(joined[..., 30:], parts[1][..., 30:], atol=1e-4)


def test_motion_on_another_grid_is_the_same_motion(scene):
    """Weights at the same places of space; beyond a face where tissue moves it goes on moving."""
    grid, ct, gtv, path, motion = scene
    other = motion.on(Grid((-70.0, -50.0, -80.0), (4.0, 4.0, 5.0), (40, 25, 32)))
    wide = motion.on(Grid((-60.0, -40.0, -170.0), (2.0, 2.0, 2.5), (60, 40, 120)))
    whole, coarse, tall = (np.zeros(m.grid.shape) for m in (motion, other, wide))
    for array, part in ((whole, motion), (coarse, other), (tall, wide)):
        array[part.box] = part.weight
    inside = coarse[3:32:2, 3:20:2, 2:28]
    expected = whole[1::4, 1::4, ::2][: inside.shape[0], : inside.shape[1], : inside.shape[2]]
    places = [np.arange(n) for n in inside.shape]
    x = (-70 + 4 * (3 + 2 * places[0]) + 60) / 2
    y = (-50 + 4 * (3 + 2 * places[1]) + 40) / 2
    z = (-80 + 5 * (2 + places[2]) + 70) / 2.5
    expected = map_coordinates(whole, np.meshgrid(x, y, z, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(inside, expected, atol=1e-5)
    np.testing.assert_allclose(tall[..., 40:96], whole, atol=1e-5)
    near_face = build_tissue_motion(grid, ct, ball(grid, (0.0, 0.0, -65.0), 10.0), path, FADE_MM, 0.6)
    below = near_face.on(Grid((-60.0, -40.0, -120.0), (2.0, 2.0, 2.5), (60, 40, 76)))
    assert below.start[2] == 0 and below.weight[..., 0].max() == 1.0


def test_slices_that_would_need_tissue_from_beyond_the_face_are_left_out(scene):
    """A tumour at the lowest slice that moves 8 mm up: the lowest 4 slices of 2.5 mm would come from nowhere."""
    grid, ct, _, _, _ = scene
    path = np.array([[0.0, 0.0, 8.0]])
    motion = build_tissue_motion(grid, ct, ball(grid, (0.0, 0.0, -65.0), 10.0), path, FADE_MM, 0.6)
    kept = motion.covered(np.zeros(3), path[0])
    assert [(part.start, n - part.stop) for part, n in zip(kept, grid.shape, strict=True)] == [(0, 0), (0, 0), (3, 0)]
    height = np.broadcast_to(grid.axes()[2], grid.shape)
    moved = motion.mean(height, path)
    expected = (
        height[30, 20, 3:]
        - 8.0
        * np.pad(motion.weight, [(0, 0), (0, 0), (0, 60)])[
            30 - motion.start[0], 20 - motion.start[1], 3 : grid.shape[2]
        ]
    )
    # beyond the last centre, within the last voxel, the nearest value stands
    np.testing.assert_allclose(moved[30, 20, 3:], np.maximum(expected, -70.0), atol=1e-3)
    assert (expected >= -70.0 - 1.25).all()


def test_a_flat_side_moves_by_parts_of_a_voxel(scene):
    """A cube moved by less than half a voxel stays, by more than half it takes the next slice and leaves the last."""
    grid = scene[0]
    cube = np.zeros(grid.shape, bool)
    cube[20:40, 10:30, 20:40] = True
    target = MovingTarget(cube, grid, np.array([5.0, 5.0, 5.0]))
    assert np.array_equal(target.at(np.zeros(3)), cube)
    for shift, steps in ((1.2, 0), (1.3, 1), (-1.3, -1), (3.7, 1), (3.8, 2)):
        moved = target.at(np.array([0.0, 0.0, shift]))
        # the cube's edges may get rounder
        assert np.array_equal(moved[23:37, 13:27], np.roll(cube, steps, axis=2)[23:37, 13:27]), shift
        assert moved.sum() > 0.95 * cube.sum() and not (moved & ~np.roll(cube, steps, axis=2)).any()
    bits = target.phases(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]]))
    assert np.array_equal(bits & 1 > 0, cube) and np.array_equal(bits >> 1 > 0, np.roll(cube, 1, axis=2))


def test_union_of_a_moving_ball_is_a_capsule():
    """Volume pi R^2 (4 R / 3 + A), ends rounded, not thickened by rounding single positions."""
    grid = Grid((-20.0, -20.0, -26.0), (1.4, 1.6, 1.8), (29, 26, 30))
    radius, amplitude = 12.0, 11.0
    target = MovingTarget(ball(grid, (0.3, -0.4, 6.0), radius), grid, np.array([0.0, 0.0, amplitude]))
    path = np.zeros((16, 3))
    path[:, 2] = -np.linspace(0.0, amplitude, 16)
    union = target.phases(path) > 0
    volume = union.sum() * grid.voxel_volume_ml * 1000.0
    assert volume == pytest.approx(np.pi * radius**2 * (4.0 / 3.0 * radius + amplitude), rel=0.015)
    x, y, z = grid.axes()
    along = z - np.clip(z, 6.0 - amplitude, 6.0)
    capsule = (x - 0.3) ** 2 + (y + 0.4) ** 2 + along**2 < radius**2
    assert 2.0 * (union & capsule).sum() / (union.sum() + capsule.sum()) > 0.98


def test_union_is_not_thickened_as_by_rounding_to_voxels():
    """Six balls on oblique paths against the union by formula, voxels of 2 x 2 x 3.27 mm: 0.2 % against 4 %."""
    rng = np.random.default_rng(0)
    grid = Grid((-30.0, -30.0, -40.0), (2.0, 2.0, 3.27), (31, 31, 22))
    excess = []
    for _ in range(6):
        radius, amplitude = rng.uniform(8, 16), rng.uniform(4, 14)
        centre = rng.uniform(-1, 1, 3) + (0.0, 0.0, 5.0)
        mask = ball(grid, centre, radius)
        path = np.linspace(0, 1, 12)[:, None] * (rng.uniform(-2, 2), rng.uniform(1, 4), -amplitude)
        exact = np.any([ball(grid, centre + step, radius) for step in path], axis=0).sum()
        ours = (MovingTarget(mask, grid, np.abs(path).max(axis=0)).phases(path) > 0).sum()
        steps = np.rint(path / grid.spacing_mm).astype(int)
        rounded = np.any([np.roll(mask, step, axis=(0, 1, 2)) for step in steps], axis=0).sum()
        excess.append((ours / exact - 1.0, rounded / exact - 1.0))
    ours, rounded = np.mean(excess, axis=0)
    assert abs(ours) < 0.005 and rounded > 0.03


def test_dwell_points_keep_time_and_mean():
    trace = np.random.default_rng(2).normal(0.0, 4.0, (500, 3))
    points, shares = dwell_points(trace)
    assert shares.sum() == pytest.approx(1.0) and (shares > 0).all()
    np.testing.assert_allclose(shares @ points, trace.mean(axis=0), atol=1e-9)
    assert len(dwell_points(np.zeros((40, 3)))[0]) == 1


def test_pet_shows_the_share_of_time_that_the_ball_is_there():
    """n = 1: the path has the arcsine law, P(way down < s) = 2 / pi asin(sqrt(s / A)); uptake 5 over 1."""
    grid = Grid((-20.0, -20.0, -40.0), (2.0, 2.0, 1.0), (21, 21, 81))
    # voxels up to 9 mm are in the ball, and their outer half is
    radius, amplitude = 9.5, 12.0
    trace = Excursion(si_mm=amplitude).displacement(Breathing(order=1, period_s=4.0), np.arange(400) / 400)
    pet = 1.0 + 4.0 * ball(grid, (0.0, 0.0, 10.0), radius).astype(np.float32)
    shown = (everywhere(grid).mean(pet, *dwell_points(trace))[10, 10] - 1.0) / 4.0
    z = grid.axes()[2].ravel() - 10.0

    def time_below(way):
        return 2.0 / np.pi * np.arcsin(np.sqrt(np.clip(way / amplitude, 0.0, 1.0)))

    # the ball covers z while its way down s lies between -z - R and -z + R
    expected = time_below(-z + radius) - time_below(-z - radius)
    assert np.abs(shown - expected).mean() < 0.01
    assert np.abs(shown - expected).max() < 0.13  # at the turning points, where a voxel and a cube of 1 mm smear it
    assert shown.sum() == pytest.approx(expected.sum(), rel=0.03)
