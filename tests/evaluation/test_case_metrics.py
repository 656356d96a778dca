"""The row of a case: SimpleITK as an independent tool for overlap, columns complete, whole-thorax size."""

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.evaluation.case_metrics import METRICS, case_metrics
from scipy import ndimage


def blobs(seed, shape=(30, 28, 20)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return (noise > np.quantile(noise, 0.8)).astype(np.uint8)


@pytest.mark.parametrize("seed", [3, 4])
def test_overlap_equals_simpleitk(seed):
    pred, label, spacing = blobs(seed), blobs(seed + 10), (0.9, 1.1, 3.0)
    images = []
    for mask in (label, pred):
        image = sitk.GetImageFromArray(mask.transpose(2, 1, 0))
        image.SetSpacing(spacing)
        images.append(image)
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*images)  # source: reference, target: prediction
    row = case_metrics(pred, label, spacing)
    assert row["dice"] == pytest.approx(measures.GetDiceCoefficient(1))
    shapes = [sitk.LabelShapeStatisticsImageFilter() for _ in range(3)]
    for shape, image in zip(shapes, (*images, sitk.And(*images)), strict=True):
        shape.Execute(image)
    volumes_ml = [shape.GetPhysicalSize(1) / 1000 for shape in shapes]
    assert row["volume_reference_ml"] == pytest.approx(volumes_ml[0])
    assert row["volume_prediction_ml"] == pytest.approx(volumes_ml[1])
    assert row["coverage"] == pytest.approx(volumes_ml[2] / volumes_ml[0])
    assert row["missed_ml"] == pytest.approx(volumes_ml[0] - volumes_ml[2])
    assert row["excess_ml"] == pytest.approx(volumes_ml[1] - volumes_ml[2])
    shift = np.subtract(shapes[1].GetCentroid(1), shapes[0].GetCentroid(1))
    assert [row[f"centroid_shift_{axis}_mm"] for axis in "xyz"] == pytest.approx(shift.tolist())
    assert row["lesion_tp"] + row["lesion_fn"] == _components(label)


def _components(mask):
    """Components by SimpleITK; it knows 6 and 26 neighbours only, so the mask must not differ in that."""
    image = sitk.GetImageFromArray(mask.transpose(2, 1, 0))
    counts = []
    for full in (False, True):
        components = sitk.ConnectedComponentImageFilter()
        components.SetFullyConnected(full)
        components.Execute(image)
        counts.append(components.GetObjectCount())
    assert counts[0] == counts[1]
    return counts[0]


def test_identical_masks_are_perfect():
    mask = blobs(0)
    row = case_metrics(mask, mask, (1, 1, 3))
    for metric in METRICS:
        if metric.better == "higher":
            assert row[metric.name] == 1, metric.name
        elif metric.better:
            assert row[metric.name] == 0, metric.name


def test_every_metric_is_in_the_row_whatever_is_empty():
    mask, empty = blobs(0), np.zeros((30, 28, 20), np.uint8)
    rows = [case_metrics(p, r, (1, 1, 3)) for p, r in ((mask, mask), (empty, mask), (mask, empty), (empty, empty))]
    names = [metric.name for metric in METRICS]
    for row in rows:
        assert list(row) == list(rows[0])
        assert list(row)[: len(names)] == names
    # the same metrics are undefined for an empty reference, with and without a prediction
    undefined = [{name for name in names if np.isnan(row[name])} for row in rows]
    assert undefined[0] == set()
    assert undefined[2] == undefined[3]
    assert undefined[1] < undefined[2]
    assert {"dice", "nsd_3mm", "coverage", "hd95_mm"} <= undefined[2]
    assert "dice" not in undefined[1] and "hd95_mm" in undefined[1]


def test_a_far_false_positive_does_not_need_the_whole_thorax():
    label = np.zeros((200, 200, 80), bool)
    label[100:130, 100:130, 40:60] = True
    pred = label.copy()
    pred[180:183, 180:183, 70:72] = True
    row = case_metrics(pred, label, (1, 1, 2))
    assert row["lesion_fp"] == 1 and row["false_positive_ml"] == pytest.approx(0.036)
    assert row["end_error_superior_mm"] == (71 - 59) * 2
    assert row["hd95_mm"] == 0 and row["nsd_2mm"] > 0.9
