import pytest
from igtv.training.model_description import ModelDescription

SETTINGS = {
    "task": "gtv", "trained_on": "phantoms", "network": {}, "spacing_mm": [2, 2, 3], "hu_window": [-1000, 400],
    "suv_range": [0, 15], "num_slices": 8, "patch_size": [96, 96],
}  # fmt: skip


def test_windows_go_into_the_card():
    card = ModelDescription(**SETTINGS).card
    assert card["hu_window"] == [-1000, 400] and card["suv_range"] == [0, 15]


@pytest.mark.parametrize("key", ["hu_window", "suv_range"])
@pytest.mark.parametrize("window", [[0, 0], [15, 0], [0], "0,15", [0, float("inf")]])
def test_a_window_that_scales_nothing_is_refused(key, window):
    with pytest.raises(ValueError, match=f"{key}=.* must be two numbers"):
        ModelDescription(**{**SETTINGS, key: window})
