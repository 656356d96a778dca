"""Distances between grids, worked out by hand."""

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.data.grids import affine_of, corners_mm, grid_distance_mm, same_grid

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def test_corners_are_the_centres_of_the_corner_voxels():
    corners = corners_mm((11, 11, 5), AFFINE)
    assert corners.min(axis=0).tolist() == [0, 0, 0] and corners.max(axis=0).tolist() == [20, 20, 12]


def test_a_voxel_size_counts_by_how_far_it_moves_the_far_corner():
    shifted, wider = AFFINE.copy(), AFFINE.copy()
    shifted[0, 3] = 0.05
    wider[0, 0] += 0.01  # a hundredth of a mm, times 511 voxels
    assert grid_distance_mm((512, 512, 5), AFFINE, shifted) == pytest.approx(0.05)
    assert grid_distance_mm((512, 512, 5), AFFINE, wider) == pytest.approx(5.11)


def test_rounding_leaves_a_grid_the_same_and_a_step_that_adds_up_does_not():
    shape, shifted, wider = (512, 512, 5), AFFINE.copy(), AFFINE.copy()
    shifted[0, 3] += 0.05
    wider[0, 0] += 0.0009  # 0.46 mm at the far end
    assert same_grid(shape, AFFINE, shape, shifted)
    assert not same_grid(shape, AFFINE, shape, wider)
    assert not same_grid(shape, AFFINE, (512, 511, 5), AFFINE)


def test_the_affine_of_an_image_places_its_voxels():
    image = sitk.Image([4, 5, 6], sitk.sitkUInt8)
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((-10.0, 20.0, 5.0))
    image.SetDirection((0, -0.6, 0.8, 1, 0, 0, 0, 0.8, 0.6))
    place = affine_of(image) @ [3, 1, 2, 1]
    np.testing.assert_allclose(place[:3], image.TransformIndexToPhysicalPoint((3, 1, 2)))
