"""Ends of the target, by hand; z grows towards superior."""

import numpy as np
import pytest
from igtv.evaluation.ends import end_metrics, end_slice_count


def column(low, high, n_slices=40):
    """A rod of 5 x 4 voxels from slice `low` to slice `high`, both included."""
    mask = np.zeros((8, 8, n_slices), bool)
    mask[1:6, 2:6, low : high + 1] = True
    return mask


@pytest.mark.parametrize(
    ("n_slices", "slice_mm", "count"),
    [(20, 3.0, 2), (20, 3.27, 2), (20, 2.0, 3), (20, 1.0, 6), (9, 1.0, 3), (20, 8.0, 1), (2, 1.0, 1), (1, 1.0, 1)],
)
def test_slices_of_an_end(n_slices, slice_mm, count):
    assert end_slice_count(n_slices, slice_mm) == count


def test_too_short_superiorly():
    numbers = end_metrics(column(10, 25), column(10, 29), (1, 1, 2.0))  # ends of 3 slices
    assert numbers["dice_superior_end"] == 0
    assert numbers["dice_inferior_end"] == 1
    assert numbers["dice_central"] == pytest.approx(2 * 13 / (13 + 14))
    assert numbers["end_error_superior_mm"] == -8
    assert numbers["end_error_inferior_mm"] == 0


def test_too_long_inferiorly_counts_as_false_positive_there():
    numbers = end_metrics(column(4, 29), column(10, 29), (1, 1, 2.0))
    assert numbers["dice_inferior_end"] == pytest.approx(2 * 3 / (3 + 9))
    assert numbers["dice_superior_end"] == numbers["dice_central"] == 1
    assert numbers["end_error_inferior_mm"] == 12
    assert numbers["end_error_superior_mm"] == 0


def test_upside_down_swaps_the_ends():
    pred, label = column(12, 33), column(10, 29)
    upright, turned = (end_metrics(p, r, (1, 1, 2.0)) for p, r in ((pred, label), (pred[..., ::-1], label[..., ::-1])))
    assert upright["dice_superior_end"] == turned["dice_inferior_end"] != upright["dice_inferior_end"]
    assert (upright["end_error_superior_mm"], upright["end_error_inferior_mm"]) == (8, -4)
    assert (turned["end_error_superior_mm"], turned["end_error_inferior_mm"]) == (-4, 8)


def test_one_slice_has_ends_but_no_centre():
    numbers = end_metrics(column(10, 10), column(10, 10), (1, 1, 2.0))
    assert numbers["dice_superior_end"] == numbers["dice_inferior_end"] == 1
    assert np.isnan(numbers["dice_central"])


def test_empty_masks():
    empty, full = np.zeros((8, 8, 40), bool), column(10, 29)
    missed = end_metrics(empty, full, (1, 1, 2.0))
    assert missed["dice_superior_end"] == missed["dice_central"] == missed["dice_inferior_end"] == 0
    assert np.isnan([missed["end_error_superior_mm"], missed["end_error_inferior_mm"]]).all()
    for pred in (empty, full):
        assert np.isnan(list(end_metrics(pred, empty, (1, 1, 2.0)).values())).all()
