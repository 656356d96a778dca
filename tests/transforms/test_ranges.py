"""Ranges of the random transforms are looked at when they are built."""

import math

import pytest
from igtv.transforms.in_plane_warp import RandInPlaneWarpd
from igtv.transforms.intensity import RandCtIntensityd, RandPetIntensityd, RandPetSliceAttenuationd
from igtv.transforms.ranges import checked_range, checked_window
from igtv.transforms.tumour_uptake import RandTumourUptaked


@pytest.mark.parametrize("value", [(0, 1), (-1, 1), (2, 1), (1,), (1, 2, 3), 1.0, "1,2", (1, math.inf), (math.nan, 1)])
def test_what_is_no_range_above_a_limit_is_refused(value):
    with pytest.raises(ValueError, match="range=.* must be two numbers above 0, the smaller one first"):
        checked_range(value, "range", above=0)


def test_a_range_is_taken_as_it_is():
    assert checked_range([0.5, 0.5], "range", above=0) == (0.5, 0.5)
    assert checked_range((-0.4, 1.2), "range") == (-0.4, 1.2)


def test_a_window_needs_two_different_ends():
    assert checked_window([-1000, 400], "hu_window") == (-1000, 400)
    for window in ([0, 0], [15, 0]):
        with pytest.raises(ValueError, match=r"suv_range=\[.*\] must be two numbers"):
            checked_window(window, "suv_range")


@pytest.mark.parametrize(
    ("transform", "argument", "option"),
    [
        (RandPetIntensityd, "scale_range", " .`suv_scale_range` in train.json."),
        (RandPetIntensityd, "gamma_range", ""),
        (RandCtIntensityd, "gamma_range", ""),
        (RandPetSliceAttenuationd, "factor_range", ""),
        (RandInPlaneWarpd, "scale_range", " .`zoom_range` in train.json."),
        (RandTumourUptaked, "factor_range", " .`uptake_factor_range` in train.json."),
    ],
)
def test_the_error_names_what_the_user_typed(transform, argument, option):
    with pytest.raises(ValueError, match=rf"{argument}=\[0.0, -1.0\]{option} must be two numbers"):
        transform(**{argument: [0.0, -1.0]})
