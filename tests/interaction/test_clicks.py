"""Voxel indices of any grid to places in the patient and back."""

import numpy as np
import pytest
from igtv.interaction.clicks import MOST_CLICKS, Click, clicks_from_voxels, voxel_of

CT = np.array([[-2.0, 0, 0, 100], [0, -2, 0, 80], [0, 0, 3, -50], [0, 0, 0, 1]])  # LPS: first voxel right, anterior
PET = np.array([[4.0, 0, 0, -30], [0, 4, 0, -60], [0, 0, -3, 40], [0, 0, 0, 1]])  # RAS in-plane, feet last


def test_place_by_hand():
    (click,) = clicks_from_voxels([[10, 5, 20]], CT, True)
    assert click == Click((80.0, 70.0, 10.0), True)
    assert voxel_of(click, CT, (60, 60, 60)) == (10, 5, 20)


def test_click_on_the_pet_is_a_voxel_of_the_ct():
    (click,) = clicks_from_voxels([[20, 20, 10]], PET, False)  # 50, 20, 10 mm
    assert click.position_mm == (50.0, 20.0, 10.0)
    assert voxel_of(click, CT, (60, 60, 60)) == (25, 30, 20)


def test_whole_voxel_belongs_to_its_centre():
    for shift, expected in ((-0.9, 10), (0.9, 10), (1.1, 9), (-1.1, 11)):  # mm; the axis runs against x
        assert voxel_of(Click((80 + shift, 70, 10), True), CT, (60, 60, 60))[0] == expected


def test_edges_of_the_volume():
    assert voxel_of(Click((100.9, 80.9, -51.4), True), CT, (60, 60, 60)) == (0, 0, 0)
    with pytest.raises(ValueError, match="outside the volume"):
        voxel_of(Click((101.1, 80, -50), True), CT, (60, 60, 60))
    with pytest.raises(ValueError, match="outside the volume"):
        voxel_of(Click((100, 80, 128.6), True), CT, (60, 60, 60))


@pytest.mark.parametrize("point", [[1, 2], [1, 2, 3, 4], ["a", 1, 2], [float("nan"), 0, 0], None, 5])
def test_what_is_no_point_is_named(point):
    with pytest.raises(ValueError, match="three"):
        clicks_from_voxels([point], CT, True)


def test_too_many_clicks():
    with pytest.raises(ValueError, match="at most"):
        clicks_from_voxels([[0, 0, 0]] * (MOST_CLICKS + 1), CT, True)
