import numpy as np
import pytest
import torch
from igtv.transforms.tumour_uptake import RandTumourUptaked


def slab(tumour=0.5, surroundings=-0.8):
    image = torch.zeros(2, 24, 24, 3)
    image[1] = surroundings
    label = torch.zeros(1, 24, 24, 3)
    label[:, 8:16, 8:16, 1:] = 1
    image[1][label[0] > 0] = tumour
    return {"image": image, "label": label, "case": "P1"}


@pytest.mark.parametrize(
    ("factor", "inside"), [(-0.1, -0.93), (0.0, -0.8), (0.5, -0.15), (1.0, 0.5), (1.2, 0.76), (2.0, 1.0)]
)
def test_contrast_is_multiplied(factor, inside):
    data = slab()
    before = data["image"].clone()
    transform = RandTumourUptaked(prob=1, factor_range=(factor, factor), edge_sigma_px=0)
    result = transform.set_random_state(0)(data)["image"]
    np.testing.assert_allclose(result[1, 8:16, 8:16, 1:], inside, atol=1e-6)
    np.testing.assert_array_equal(data["image"], before)
    outside = data["label"][0] == 0
    np.testing.assert_array_equal(result[1][outside], before[1][outside])
    np.testing.assert_array_equal(result[0], before[0])


def test_blurred_edge_stays_between_tumour_and_surroundings():
    transform = RandTumourUptaked(prob=1, factor_range=(0.0, 0.0), edge_sigma_px=1.0)
    pet = transform.set_random_state(0)(slab())["image"][1]
    assert pet.min() >= -0.8 - 1e-6 and pet.max() < 0.5
    assert pet[12, 12, 1] == pytest.approx(-0.8, abs=1e-3) and pet[8, 8, 1] > -0.8


def test_slab_without_tumour_and_probability_zero_change_nothing():
    data = slab()
    assert RandTumourUptaked(prob=0)(data)["image"] is data["image"]
    data["label"].zero_()
    assert RandTumourUptaked(prob=1)(data)["image"] is data["image"]


def test_same_seed_same_result():
    one, same, other = (RandTumourUptaked(prob=1).set_random_state(seed)(slab())["image"] for seed in (4, 4, 5))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_wrong_range():
    with pytest.raises(ValueError, match="factor_range=\\(1.0, 0.5\\)"):
        RandTumourUptaked(factor_range=(1.0, 0.5))
