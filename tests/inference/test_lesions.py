"""Separate lesions: numbered by size, chosen in words or numbers, listed with what one chooses by."""

import numpy as np
import pytest
import torch
from igtv.evaluation.lesions import lesion_metrics
from igtv.inference.lesions import ChooseLesionsd, chosen_lesions, lesion_rule, lesion_table, number_lesions
from monai.data import MetaTensor

AFFINE = np.array([[2.0, 0, 0, -10], [0, 2.0, 0, 5], [0, 0, 3.0, 100], [0, 0, 0, 1]])


def three_lesions():
    """4, 12 and 4 voxels; the second and a corner of it belong together."""
    mask = np.zeros((12, 10, 8), np.uint8)
    mask[0:2, 0:2, 0] = 1
    mask[4:7, 4:6, 3:5] = 1
    mask[6, 5, 5] = 0
    mask[10:12, 8:10, 7] = 1
    return mask


def test_numbers_go_by_size_and_then_by_place():
    numbers = number_lesions(three_lesions())
    assert numbers[5, 5, 3] == 1 and numbers[0, 0, 0] == 2 and numbers[10, 9, 7] == 3
    assert numbers.dtype == np.uint8 and (numbers > 0).sum() == 20
    assert number_lesions(np.zeros((3, 3, 3))).max() == 0


def test_an_empty_mask_has_none():
    assert number_lesions(np.zeros((3, 4, 5))).sum() == 0 and number_lesions(np.zeros((3, 4, 5))).shape == (3, 4, 5)


@pytest.mark.parametrize("second, lesions", [((1, 0, 0), 1), ((1, 1, 0), 1), ((1, 1, 1), 2)])
def test_voxels_that_share_a_face_or_an_edge_are_one_lesion_as_in_evaluation(second, lesions):
    mask = np.zeros((3, 3, 3))
    mask[0, 0, 0] = mask[second] = 1
    assert number_lesions(mask).max() == lesions == lesion_metrics(mask > 0, mask > 0, (1, 1, 1))["lesion_tp"]


@pytest.mark.parametrize(
    "lesions, expected", [("largest", [1]), ("all", [1, 2, 3]), (2, [2]), ([3, 1, 3], [1, 3]), ("2,3", [2, 3])]
)
def test_choice(lesions, expected):
    assert chosen_lesions(lesions, range(1, 4)) == expected


def test_wrong_choices_say_what_there_is():
    with pytest.raises(ValueError, match="must be 'most_avid', 'largest', 'all', or numbers"):
        chosen_lesions("biggest", [1])
    with pytest.raises(ValueError, match="lesion 4 was asked for, but 3 found: 1, 2, 3"):
        chosen_lesions([1, 4], range(1, 4))
    with pytest.raises(ValueError, match="'most_avid', but there is no PET here"):
        chosen_lesions("most_avid", range(1, 4))
    assert chosen_lesions("largest", []) == chosen_lesions([2], []) == []  # nothing found is no mistake of the user


@pytest.mark.parametrize("lesions", ["larges", "", 0, [1, -2], None])
def test_a_slip_of_the_pen_is_said_before_the_first_case(lesions):
    with pytest.raises(ValueError, match="must be 'most_avid', 'largest', 'all', or numbers"):
        ChooseLesionsd("pred", (0, 15), lesions)


def test_a_training_takes_rules_and_no_numbers():
    assert [lesion_rule(rule) for rule in ("most_avid", "largest", "all")] == ["most_avid", "largest", "all"]
    for lesions in ("larges", 2, [1, 2], "1,2"):
        with pytest.raises(ValueError, match="for a training it must be one of most_avid, largest, all"):
            lesion_rule(lesions)


@pytest.mark.parametrize("lesions, voxels", [("largest", 12), ("all", 20), ([1, 2], 16), ([2, 3], 8)])
def test_transform_keeps_the_chosen_and_hands_on_all(lesions, voxels):
    pred = MetaTensor(torch.from_numpy(three_lesions()[None]).float(), affine=torch.from_numpy(AFFINE))
    result = ChooseLesionsd("pred", (0.0, 15.0), lesions)({"pred": pred, "other": 1})
    assert result["pred"].dtype == torch.float32 and int(result["pred"].sum()) == voxels
    assert sorted(np.unique(result["lesions"])) == [0, 1, 2, 3]
    for key in ("pred", "lesions"):
        np.testing.assert_array_equal(result[key].affine, AFFINE)
    assert int(pred.sum()) == 20  # the input stays


def test_table():
    mask = three_lesions()
    pet = np.zeros(mask.shape, np.float32)
    pet[5, 4, 4], pet[1, 1, 0] = 7.5, 3
    numbers = number_lesions(mask)
    table = lesion_table(numbers, numbers == 1, pet, AFFINE)
    assert [(row["number"], row["chosen"], row["suv_max"]) for row in table] == [
        (1, True, 7.5), (2, False, 3.0), (3, False, 0.0),
    ]  # fmt: skip
    assert table[0]["volume_ml"] == 0.144 and table[1]["volume_ml"] == 0.048  # voxels of 12 cubic mm
    assert table[1]["centre_mm"] == [-9.0, 6.0, 100.0]
