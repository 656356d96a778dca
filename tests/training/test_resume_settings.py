import pytest
from igtv.training.resume_settings import changed_settings


@pytest.mark.parametrize(
    "saved, current, changes",
    [
        ({"seed": 0}, {"seed": 0}, []),
        ({"patch_size": [64, 64]}, {"patch_size": (64, 64)}, []),
        ({"patch_size": [64, 64]}, {"patch_size": [96, 96]}, ["patch_size: [64, 64] -> [96, 96]"]),
        ({}, {"frozen_epochs": 2}, ["frozen_epochs: None -> 2"]),
        ({"device": "cpu", "num_workers": 0}, {"device": "cuda", "num_workers": 2}, []),
        ({"seed": 0, "fold": 1}, {"seed": 1, "fold": 0}, ["fold: 1 -> 0", "seed: 0 -> 1"]),
    ],
)
def test_changed_settings(saved, current, changes):
    assert changed_settings(saved, current) == changes
