"""Overlap, volumes, centroids and pooled counts against numbers worked out by hand."""

import numpy as np
import pytest
from igtv.evaluation.overlap import centroid_shift, dice, pooled_metrics, volume_metrics, voxel_counts


def box(shape, *ranges):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*limits) for limits in ranges)] = True
    return mask


def test_shifted_box_on_anisotropic_voxels():
    # 10 x 10 x 10 voxels of 1 x 2 x 5 mm = 10 ml; the prediction is shifted by 3 in x and has only 8 slices.
    label = box((30, 30, 30), (5, 15), (5, 15), (5, 15))
    pred = box((30, 30, 30), (8, 18), (5, 15), (7, 15))
    numbers = volume_metrics(pred, label, (1, 2, 5))
    assert numbers["volume_reference_ml"] == pytest.approx(10.0)
    assert numbers["volume_prediction_ml"] == pytest.approx(8.0)
    assert numbers["volume_error_ml"] == pytest.approx(-2.0)
    assert numbers["volume_error_percent"] == pytest.approx(-20.0)
    assert numbers["dice"] == pytest.approx(2 * 560 / 1800)  # 7 * 10 * 8 voxels in both
    assert numbers["coverage"] == pytest.approx(0.56)
    assert numbers["missed_ml"] == pytest.approx(4.4)
    assert numbers["excess_ml"] == pytest.approx(2.4)
    shift = centroid_shift(pred, label, (1, 2, 5))
    assert shift == pytest.approx(
        {"centroid_shift_x_mm": 3.0, "centroid_shift_y_mm": 0.0, "centroid_shift_z_mm": 5.0}  # one slice up
    )


def test_empty_masks():
    empty, full = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    missed = volume_metrics(empty, full, (1, 1, 1))
    assert (missed["dice"], missed["coverage"], missed["volume_error_percent"]) == (0.0, 0.0, -100.0)
    for pred in (empty, full):
        nothing = volume_metrics(pred, empty, (1, 1, 1))
        assert np.isnan([nothing["dice"], nothing["coverage"], nothing["volume_error_percent"]]).all()
        assert nothing["excess_ml"] == pytest.approx(pred.sum() / 1000)
        assert np.isnan(dice(pred, empty))
        assert np.isnan(list(centroid_shift(pred, empty, (1, 1, 1)).values())).all()
    assert np.isnan(list(centroid_shift(empty, full, (1, 1, 1)).values())).all()


def test_pooled_metrics_by_hand():
    # Patient 1: 2 x 2 pixels, 3 slices. Slice 0: tumour in 2 pixels, 1 found, 1 invented. Slice 1: 1 invented.
    label, pred = np.zeros((2, 2, 3), bool), np.zeros((2, 2, 3), bool)
    label[0, :, 0] = True
    pred[:, 0, 0] = True
    pred[0, 0, 1] = True
    first = voxel_counts(pred, label)
    assert [first[f"{name}_voxels"] for name in ("tp", "fp", "fn", "tn")] == [1, 2, 1, 8]
    assert [first[f"{name}_voxels_tumour"] for name in ("tp", "fp", "fn", "tn")] == [1, 1, 1, 1]
    # Patient 2: one slice, all tumour, all found.
    second = voxel_counts(np.ones((2, 2, 1), bool), np.ones((2, 2, 1), bool))
    pooled = pooled_metrics([first, second])
    # all: TP 5, FP 2, FN 1, TN 8
    assert pooled["all_slices"] == pytest.approx({"dice": 10 / 13, "iou": 5 / 8, "acc": (5 / 6 + 8 / 10) / 2})
    # slices with tumour: TP 5, FP 1, FN 1, TN 1
    assert pooled["tumour_slices"] == pytest.approx({"dice": 10 / 12, "iou": 5 / 7, "acc": (5 / 6 + 1 / 2) / 2})


def test_pooled_metrics_of_nothing_are_undefined():
    row = voxel_counts(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool))
    assert np.isnan([value for pool in pooled_metrics([row]).values() for value in pool.values()]).all()
