"""Distances between grids, worked out by hand."""

import numpy as np
import pytest
from igtv.data.grids import corners_mm, grid_distance_mm

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
