"""Lesion-wise counts, by hand."""

import numpy as np
import pytest
from igtv.evaluation.lesions import lesion_metrics


def test_found_missed_and_invented():
    label, pred = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    label[0:4, 0:4, 0:4] = True  # found by one voxel
    pred[3:6, 3:6, 3:6] = True
    label[10:12, 10:12, 10:12] = True  # missed: 8 voxels
    pred[16:18, 16:18, 0:1] = True  # invented: 4 voxels
    pred[0:1, 19:20, 19:20] = True  # invented: 1 voxel
    numbers = lesion_metrics(pred, label, (2, 2, 5))  # 0.02 ml a voxel
    assert [numbers[name] for name in ("lesion_tp", "lesion_fn", "lesion_fp")] == [1, 1, 2]
    assert numbers["false_negative_ml"] == pytest.approx(8 * 0.02)
    assert numbers["false_positive_ml"] == pytest.approx(5 * 0.02)


def test_two_lesions_under_one_prediction_are_both_found():
    label, pred = np.zeros((10, 4, 4), bool), np.zeros((10, 4, 4), bool)
    label[0:2], label[6:8], pred[0:8] = True, True, True
    numbers = lesion_metrics(pred, label, (1, 1, 1))
    assert [numbers[name] for name in ("lesion_tp", "lesion_fn", "lesion_fp")] == [2, 0, 0]


@pytest.mark.parametrize(("filled_pred", "filled_label"), [(False, False), (True, False), (False, True)])
def test_empty_masks_have_numbers(filled_pred, filled_label):
    pred, label = np.full((3, 3, 3), filled_pred), np.full((3, 3, 3), filled_label)
    numbers = lesion_metrics(pred, label, (1, 1, 1))
    assert (numbers["lesion_tp"], numbers["lesion_fp"], numbers["lesion_fn"]) == (0, filled_pred, filled_label)
    assert numbers["false_positive_ml"] == pytest.approx(0.027 * filled_pred)
    assert numbers["false_negative_ml"] == pytest.approx(0.027 * filled_label)
