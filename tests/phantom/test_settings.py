"""Settings: good values pass, bad ones give an error that names them."""

import json

import pytest
from igtv.phantom.settings import PhantomSettings


def test_defaults_follow_the_task():
    assert PhantomSettings(task="igtv").amplitude_median_mm == (3.0, 6.0, 10.0)
    assert PhantomSettings(task="gtv").amplitude_cap_mm <= 5.0
    assert PhantomSettings.from_mapping({"task": "gtv"}) == PhantomSettings(task="gtv")


def test_lists_and_none_from_a_config():
    values = {"image_size": [112, 112, 48], "amplitude_median_mm": None, "pet_fwhm_mm": [5, 7]}
    assert PhantomSettings.from_mapping(values) == PhantomSettings()


def test_json_round_trip():
    settings = PhantomSettings(task="gtv", num_phases=8)
    assert PhantomSettings.from_mapping(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    "name, value",
    [
        ("task", "ctv"),
        ("image_size", (112, 112)),
        ("image_size", (112.5, 112, 48)),
        ("image_size", "big"),
        ("image_size", (40, 40, 20)),
        ("spacing_mm", (3.0, 0.0, 3.0)),
        ("spacing_mm", (30.0, 30.0, 30.0)),
        ("pet_spacing_mm", None),
        ("num_phases", 1),
        ("num_phases", 17),
        ("num_phases", 9.5),
        ("amplitude_cap_mm", -1.0),
        ("diameter_range_mm", (60.0, 12.0)),
        ("diameter_range_mm", (1.0, 12.0)),
        ("tumour_suv_range", 8.0),
        ("pet_fwhm_mm", (2.0, 7.0)),
        ("pet_samples_per_cycle", 20),
        ("ct_kind_shares", (0.0, 0.0, 0.0)),
        ("misregistration_mm", "5"),
        ("distractors", "no"),
    ],
)
def test_bad_value_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        PhantomSettings(**{name: value})


def test_no_average_ct_for_gtv():
    with pytest.raises(ValueError, match="ct_kind_shares"):
        PhantomSettings(task="gtv", ct_kind_shares=(0.5, 0.5, 0.0))


def test_unknown_setting_is_named():
    with pytest.raises(TypeError, match="spacing_m.*spacing_mm"):
        PhantomSettings.from_mapping({"spacing_m": (3.0, 3.0, 3.0)})
