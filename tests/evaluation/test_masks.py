"""Checks of masks, cropping, largest component."""

import numpy as np
import pytest
from igtv.evaluation.masks import (
    as_binary_mask,
    check_pair,
    crop_to_foreground,
    largest_component,
    mask_sha256,
    slice_extent,
)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_masks_of_any_type_become_boolean(dtype):
    mask = np.zeros((2, 3, 4), dtype)
    mask[1, 2, 3] = 1
    binary = as_binary_mask(mask, "mask")
    assert binary.dtype == bool and binary.sum() == 1


def test_the_rounding_of_a_scale_factor_is_no_other_value():
    mask = np.zeros((2, 3, 4))
    mask[1, 2, 3], mask[0, 0, 0] = 255 * np.float32(1 / 255).astype(float), 4e-9
    assert mask[1, 2, 3] != 1
    assert np.argwhere(as_binary_mask(mask, "mask")).tolist() == [[1, 2, 3]]
    with pytest.raises(ValueError, match=r"also holds 1\.002:"):
        as_binary_mask(np.full((2, 2, 2), 1.002), "mask")


def test_the_hash_tells_masks_apart():
    mask = np.zeros((6, 6, 6), bool)
    mask[1:3, 1:3, 1:3] = True
    assert mask_sha256(mask) == mask_sha256(np.asfortranarray(mask))
    others = (np.roll(mask, 1, axis=0), mask.reshape(6, 3, 12), np.pad(mask, ((0, 0), (0, 0), (0, 1))))
    assert len({mask_sha256(other) for other in (mask, *others)}) == 4


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((1, 2, 3, 4)), "three axes"),
        (np.full((2, 2, 2), 0.5), "threshold"),
        (np.full((2, 2, 2), np.nan), "only 0 and 1"),
        (np.full((2, 2, 2), 2), "only 0 and 1"),
        (np.zeros((0, 2, 2)), "no voxels"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(mask, words):
    with pytest.raises(ValueError, match=words) as error:
        as_binary_mask(mask, "prediction of P7")
    assert "prediction of P7" in str(error.value)


def test_pairs_that_do_not_fit_are_refused():
    mask = np.zeros((4, 4, 4), bool)
    with pytest.raises(ValueError, match="P7: prediction .* differ in shape"):
        check_pair(mask[:3], mask, (1, 1, 1), "P7")
    for spacing in ((1, 1), (1, 1, 0), (1, 1, -2), (1, 1, np.nan)):
        with pytest.raises(ValueError, match="P7: voxel size"):
            check_pair(mask, mask, spacing, "P7")


def test_crop_holds_all_foreground():
    first, second = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    first[2, 3, 4] = second[5, 3, 6] = True
    cropped = crop_to_foreground(first, second)
    assert [part.shape for part in cropped] == [(4, 1, 3)] * 2
    assert [part.sum() for part in cropped] == [1, 1]
    assert crop_to_foreground(np.zeros((9, 9, 9), bool))[0].shape == (9, 9, 9)


def test_slice_extent():
    mask = np.zeros((3, 3, 8), bool)
    assert slice_extent(mask) is None
    mask[0, 0, 2] = mask[2, 1, 5] = True
    assert slice_extent(mask) == (2, 5)


def test_largest_component_joins_edges_but_not_corners():
    mask = np.zeros((8, 8, 8), bool)
    mask[0, 0, 0] = mask[1, 1, 0] = True  # share an edge: one component of 2
    mask[2, 2, 1] = True  # shares a corner only
    mask[6, 6, 6] = True
    kept = largest_component(mask)
    assert kept.sum() == 2 and kept[0, 0, 0] and kept[1, 1, 0]
    assert not largest_component(np.zeros((3, 3, 3), bool)).any()
    assert mask.sum() == 4, "the input stays as it is"
