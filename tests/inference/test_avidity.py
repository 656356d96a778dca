"""Avid lesions: numbers worked out by hand, on one grid and across two."""

import numpy as np
import pytest
import torch
from igtv.inference.avidity import excess_uptake, most_avid
from igtv.inference.lesions import ChooseLesionsd, number_lesions
from monai.data import MetaTensor
from monai.transforms import Orientationd, Spacingd

SPACING = np.diag([2.0, 2.0, 2.5, 1.0])  # 0.01 ml a voxel


def tumour_and_infiltrate():
    """A tumour of 6 x 6 x 6 voxels with SUV 10, and an infiltrate of 16 x 10 x 10 with SUV 2 and a slice of 3."""
    mask, suv = np.zeros((2, 40, 30, 20))
    mask[2:18, 2:12, 2:12] = 1
    suv[2:18, 2:12, 2:12] = 2
    suv[2:18, 2:12, 5] = 3
    mask[25:31, 20:26, 10:16] = 1
    suv[25:31, 20:26, 10:16] = 10
    return mask.astype(np.uint8), suv.astype(np.float32)


def test_uptake_above_one_and_a_half_over_the_volume():
    mask, suv = tumour_and_infiltrate()
    numbers = number_lesions(mask)
    assert numbers[2, 2, 2] == 1  # the infiltrate is seven times as large
    expected = [(1440 * 0.5 + 160 * 1.5) * 0.01, 216 * 8.5 * 0.01]
    assert excess_uptake(numbers, SPACING, suv, SPACING) == pytest.approx(expected)
    assert most_avid(numbers, SPACING, suv, SPACING) == 2
    suv[mask > 0] = 5  # both as hot: the larger one
    assert most_avid(numbers, SPACING, suv, SPACING) == 1


def test_of_lesions_without_avid_uptake_the_largest_is_meant():
    mask, suv = tumour_and_infiltrate()
    numbers, suv = number_lesions(mask), np.minimum(suv, 1.4)
    assert excess_uptake(numbers, SPACING, suv, SPACING).tolist() == [0, 0]
    assert most_avid(numbers, SPACING, suv, SPACING) == 1


def test_nothing_found_has_no_uptake():
    assert excess_uptake(np.zeros((3, 3, 3), int), SPACING, np.zeros((3, 3, 3)), SPACING).shape == (0,)


def test_pet_on_another_grid_is_read_in_world_coordinates():
    """A PET with x and y the other way round, other voxels and another origin: uptake rises linearly along z."""
    numbers = np.zeros((12, 12, 12), int)
    numbers[4:8, 4:8, 6:8] = 1
    affine = np.array([[2.0, 0, 0, -100], [0, 2.0, 0, 40], [0, 0, 2.5, 300], [0, 0, 0, 1]])
    pet_affine = np.array([[-4.0, 0, 0, -60], [0, -4.0, 0, 90], [0, 0, 5.0, 290], [0, 0, 0, 1]])
    suv = np.broadcast_to(np.arange(20.0), (16, 16, 20))  # SUV = (z - 290) / 5: at 315 and 317.5 mm 5 and 5.5
    assert excess_uptake(numbers, affine, suv, pet_affine) == pytest.approx([16 * (3.5 + 4.0) * 0.01])


@pytest.mark.parametrize("lesions, kept", [("most_avid", 216), ("largest", 1600), ("all", 1816), (2, 216)])
def test_the_mask_keeps_the_tumour_and_not_the_larger_infiltrate(lesions, kept):
    """Mask on the CT's grid, uptake from the network's input, turned and resampled."""
    mask, suv = tumour_and_infiltrate()
    image = np.stack([np.zeros_like(suv), suv / 15 - 1])  # -1 to 1 is SUV 0 to 30
    volume = MetaTensor(torch.from_numpy(image.astype(np.float32)), affine=torch.from_numpy(SPACING))
    data = Orientationd("image", "LPI", labels=None)({"image": volume})
    data = Spacingd("image", (3.0, 3.0, 3.0), mode="bilinear")(data)
    data["pred"] = MetaTensor(torch.from_numpy(mask[None]).float(), affine=torch.from_numpy(SPACING))
    result = ChooseLesionsd("pred", (0.0, 30.0), lesions)(data)
    assert int(result["pred"].sum()) == kept
    assert int(result["lesions"].max()) == 2


def test_one_lesion_or_none_needs_no_uptake():
    mask = torch.zeros(1, 4, 4, 4)
    assert int(ChooseLesionsd("pred", (0.0, 15.0))({"pred": mask})["pred"].sum()) == 0
    mask[0, 1, 1, 1] = 1
    assert int(ChooseLesionsd("pred", (0.0, 15.0))({"pred": mask})["pred"].sum()) == 1
