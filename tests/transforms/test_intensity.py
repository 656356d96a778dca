import numpy as np
import pytest
import torch
from igtv.transforms.intensity import RandCtIntensityd, RandPetIntensityd, RandPetSliceAttenuationd, blur_in_plane

QUIET_PET = {"gamma_range": (1, 1), "blur_sigma_px": 0.0, "noise_std": 0.0}
QUIET_CT = {"gain": 0.0, "offset": 0.0, "gamma_range": (1, 1), "noise_std": 0.0}


def slab():
    image = torch.rand((2, 16, 16, 4), generator=torch.Generator().manual_seed(0)) * 1.2 - 0.9
    return {"image": image, "case": "P1"}


def suv(image):
    return (image[1] + 1) * 7.5


@pytest.mark.parametrize(
    ("transform", "other"), [(RandCtIntensityd, 1), (RandPetIntensityd, 0), (RandPetSliceAttenuationd, 0)]
)
def test_one_channel_changes_within_the_range_and_the_input_stays(transform, other):
    data = slab()
    before = data["image"].clone()
    result = transform(prob=1).set_random_state(0)(data)["image"]
    assert torch.equal(data["image"], before)
    assert torch.equal(result[other], before[other]) and not torch.equal(result[1 - other], before[1 - other])
    assert result.min() >= -1 and result.max() <= 1 and result.isfinite().all()
    assert torch.equal(transform(prob=0)(data)["image"], before)


@pytest.mark.parametrize("transform", [RandCtIntensityd, RandPetIntensityd, RandPetSliceAttenuationd])
def test_same_seed_same_result(transform):
    one, same, other = (transform(prob=1).set_random_state(seed)(slab())["image"] for seed in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_without_ranges_nothing_changes():
    data = slab()
    quiet = {"scale_range": (1, 1), **QUIET_PET}
    np.testing.assert_allclose(RandPetIntensityd(prob=1, **quiet)(data)["image"], data["image"], atol=1e-6)
    np.testing.assert_allclose(RandCtIntensityd(prob=1, **QUIET_CT)(data)["image"], data["image"], atol=1e-6)


def test_pet_scale_is_a_factor_on_suv():
    data = slab()
    result = RandPetIntensityd(prob=1, scale_range=(1.25, 1.25), **QUIET_PET)(data)["image"]
    np.testing.assert_allclose(suv(result), np.minimum(suv(data["image"]) * 1.25, 15), rtol=1e-5)


def test_pet_blur_has_the_width_asked_for_and_keeps_the_activity():
    image = torch.full((2, 31, 31, 1), -1.0)
    image[1, 15, 15, 0] = 1
    blur = RandPetIntensityd(prob=1, scale_range=(1, 1), gamma_range=(1, 1), noise_std=0.0)
    blur.blur_sigma_px = 2.0
    blur.randomize = lambda num_slices: None
    blur._do_transform, blur.scale, blur.gamma, blur.noise_std, blur.noise_seed = True, 1.0, 1.0, 0.0, 0
    uptake = suv(blur({"image": image})["image"])[..., 0]
    assert uptake.sum() == pytest.approx(15, rel=1e-4)
    rows = torch.arange(31.0) - 15
    assert (uptake.sum(1) * rows**2).sum() / 15 == pytest.approx(4.0, rel=0.03)


def test_pet_blur_leaves_an_even_uptake_even_up_to_the_edge():
    """A slab is a part of a patient: beyond its edge there is tissue, not air."""
    blurred = blur_in_plane(torch.full((12, 7, 2), 2.0), 2.0)
    np.testing.assert_allclose(blurred, 2.0, rtol=1e-6)


def test_pet_noise_grows_with_the_root_of_the_uptake():
    image = torch.zeros(2, 64, 64, 2)
    image[1, ..., 0], image[1, ..., 1] = -0.8, -0.2
    noisy = RandPetIntensityd(prob=1, scale_range=(1, 1), gamma_range=(1, 1), blur_sigma_px=0.0)
    result = noisy.set_random_state(3)({"image": image})["image"][1]
    assert result[..., 1].std() / result[..., 0].std() == pytest.approx(2.0, rel=0.1)


def test_ct_gain_and_offset():
    data = slab()
    transform = RandCtIntensityd(prob=1, **{**QUIET_CT, "gain": 0.1, "offset": 0.05}).set_random_state(1)
    result = transform(data)["image"]
    assert 0.9 <= transform.gain <= 1.1 and -0.05 <= transform.offset <= 0.05
    expected = (data["image"][0] * transform.gain + transform.offset).clamp(-1, 1)
    np.testing.assert_allclose(result[0], expected, atol=1e-6)


def test_one_slice_is_weakened():
    data = slab()
    result = RandPetSliceAttenuationd(prob=1, factor_range=(0.5, 0.5)).set_random_state(2)(data)["image"]
    ratio = (suv(result) / suv(data["image"])).mean((0, 1))
    assert sorted(np.round(ratio.numpy(), 4).tolist()) == [0.5, 1.0, 1.0, 1.0]


def test_wrong_range():
    with pytest.raises(ValueError, match="lower=1.0 must be below upper=0"):
        RandPetIntensityd(lower=1.0, upper=0)
