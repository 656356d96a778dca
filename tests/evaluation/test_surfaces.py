"""Surface distances: closed forms, and SimpleITK as the independent tool."""

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.evaluation.surfaces import margin_for_coverage, surface_metrics
from scipy import ndimage


def ball(shape, spacing_mm, centre_mm, radius_mm):
    grid = np.meshgrid(*(np.arange(n) * step for n, step in zip(shape, spacing_mm, strict=True)), indexing="ij")
    return sum((axis - centre) ** 2 for axis, centre in zip(grid, centre_mm, strict=True)) <= radius_mm**2


def blobs(seed, shape=(36, 32, 24)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return noise > np.quantile(noise, 0.85)


def to_sitk(mask, spacing_mm):
    image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
    image.SetSpacing(tuple(map(float, spacing_mm)))
    return image


def directed_border_distances(first, second, spacing_mm):
    """Distances in mm from the border voxels of one mask to those of the other, by SimpleITK alone."""
    contours = [sitk.LabelContour(to_sitk(np.pad(mask, 1), spacing_mm)) for mask in (first, second)]
    distance = sitk.Abs(sitk.SignedMaurerDistanceMap(contours[1], squaredDistance=False, useImageSpacing=True))
    return sitk.GetArrayFromImage(distance)[sitk.GetArrayFromImage(contours[0]) == 1]


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.17, 0.98, 3.27)])
@pytest.mark.parametrize("seed", [0, 1])
def test_hd95_and_mean_distance_equal_simpleitk(spacing_mm, seed):
    pred, label = blobs(seed), blobs(seed + 10)
    there = directed_border_distances(pred, label, spacing_mm)
    back = directed_border_distances(label, pred, spacing_mm)
    numbers = surface_metrics(pred, label, spacing_mm)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert numbers["hd95_mm"] == pytest.approx(expected, rel=1e-4)
    assert numbers["mean_surface_distance_mm"] == pytest.approx(np.concatenate([there, back]).mean(), rel=1e-4)


def test_plate_shifted_along_z_has_one_distance_everywhere():
    label, pred = np.zeros((40, 40, 12), bool), np.zeros((40, 40, 12), bool)
    label[5:35, 5:35, 3] = True
    pred[5:35, 5:35, 6] = True  # three slices of 2.5 mm further up
    numbers = surface_metrics(pred, label, (1, 1, 2.5))
    assert numbers["hd95_mm"] == pytest.approx(7.5)
    assert numbers["mean_surface_distance_mm"] == pytest.approx(7.5)
    assert numbers["nsd_2mm"] == numbers["nsd_3mm"] == 0
    assert margin_for_coverage(pred, label, (1, 1, 2.5)) == pytest.approx(7.5)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_concentric_balls(spacing_mm):
    shape = tuple(round(64 / step) for step in spacing_mm)
    small, large = (ball(shape, spacing_mm, (31, 31, 31), radius) for radius in (18.0, 22.0))
    numbers = surface_metrics(large, small, spacing_mm)
    assert numbers["hd95_mm"] == pytest.approx(4.0, abs=1.0)
    assert numbers["mean_surface_distance_mm"] == pytest.approx(4.0, abs=0.5)
    assert numbers["nsd_2mm"] < 0.05
    assert margin_for_coverage(large, small, spacing_mm) == 0
    # 95 % of the larger ball lies within 22 * 0.95^(1/3) = 21.63 mm of the centre
    assert margin_for_coverage(small, large, spacing_mm) == pytest.approx(3.63, abs=0.5)


def test_surface_dice_weighs_by_area():
    # Both hold the ball of 12 mm, the prediction also one of 8 mm far away: 2 * 12^2 / (2 * 12^2 + 8^2).
    spacing_mm, shape = (1.0, 1.0, 2.0), (80, 40, 20)
    label = ball(shape, spacing_mm, (18, 19, 19), 12)
    pred = label | ball(shape, spacing_mm, (60, 19, 19), 8)
    assert surface_metrics(pred, label, spacing_mm)["nsd_3mm"] == pytest.approx(288 / 352, abs=0.01)
    assert surface_metrics(label, label, spacing_mm)["nsd_2mm"] == 1.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_margin_is_the_smallest_dilation_that_covers(seed):
    spacing_mm = (1.17, 0.98, 3.27)
    pred, label = blobs(seed), blobs(seed + 20)
    distance = ndimage.distance_transform_edt(~pred, sampling=spacing_mm)
    margin = margin_for_coverage(pred, label, spacing_mm)
    assert margin > 0
    assert (label & (distance <= margin + 1e-6)).sum() >= 0.95 * label.sum()
    assert (label & (distance <= margin - 1e-6)).sum() < 0.95 * label.sum()
    everything = margin_for_coverage(pred, label, spacing_mm, coverage=1.0)
    assert everything == pytest.approx(distance[label].max())


def test_margin_allows_exactly_five_percent_outside():
    label, pred = np.zeros((30, 1, 1), bool), np.zeros((30, 1, 1), bool)
    label[0:20] = pred[0:19] = True  # 19 of 20 = 95 %
    assert margin_for_coverage(pred, label, (2, 1, 1)) == 0
    pred[17:19] = False  # 17 of 20: two more must be covered, the second is 2 voxels away
    assert margin_for_coverage(pred, label, (2, 1, 1)) == 4


def test_empty_masks():
    empty, full = np.zeros((5, 5, 5), bool), np.ones((5, 5, 5), bool)
    missed = surface_metrics(empty, full, (1, 1, 1))
    assert missed["nsd_2mm"] == missed["nsd_3mm"] == 0
    assert np.isnan([missed["hd95_mm"], missed["mean_surface_distance_mm"]]).all()
    for pred in (empty, full):
        assert np.isnan(list(surface_metrics(pred, empty, (1, 1, 1)).values())).all()
        assert np.isnan(margin_for_coverage(pred, empty, (1, 1, 1)))
    assert np.isnan(margin_for_coverage(empty, full, (1, 1, 1)))


def test_mask_at_the_edge_of_the_volume_has_a_closed_surface():
    inside = np.zeros((12, 12, 12), bool)
    inside[1:11, 1:11, 1:11] = True
    filled = np.ones((10, 10, 10), bool)
    smaller = np.zeros((10, 10, 10), bool)
    smaller[:, :, :7] = True
    reference = surface_metrics(np.pad(smaller, 1), inside, (1, 1, 1))
    assert surface_metrics(smaller, filled, (1, 1, 1)) == pytest.approx(reference)
