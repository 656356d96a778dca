"""Polygons of masks: filled again they are the mask; smooth, true to area, with holes, on grids of any direction."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from igtv.dicom.mask_contours import mask_contours, slice_polygons
from shapely import Polygon, contains_xy


def filled(polygons, shape):
    """Voxels whose centre lies in an odd number of polygons; by shapely, channels of no width taken out."""
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    count = np.zeros(shape, int)
    for polygon in polygons:
        count += contains_xy(Polygon(polygon).buffer(0), columns, rows)
    return count % 2 == 1


def disc(radius, shape=(64, 64), centre=(30.3, 29.6)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def turning(polygon):
    """Sum of all changes of direction in full turns: 1 for a convex border, many for a staircase."""
    steps = np.diff(np.concatenate([polygon, polygon[:1]]), axis=0)
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    changes = np.diff(np.concatenate([angles, angles[:1]]))
    return np.abs((changes + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_comes_back_voxel_for_voxel(inside):
    polygons = slice_polygons(inside)
    assert (filled(polygons, inside.shape) == inside).all()
    assert all(len(polygon) >= 3 for polygon in polygons)


@pytest.mark.parametrize("radius", [2.0, 5.1, 8.7, 20.2])
def test_border_is_smooth_and_keeps_the_area(radius):
    """Half-way between the voxels the border of the largest disc would turn 6.5 times."""
    inside = disc(radius)
    (polygon,) = slice_polygons(inside)
    assert turning(polygon) < 1.15
    assert Polygon(polygon).area == pytest.approx(inside.sum(), abs=0.05)
    distances = np.hypot(polygon[:, 1] - 30.3, polygon[:, 0] - 29.6)
    assert distances.std() < 0.19  # of a voxel


def test_one_voxel_alone_is_kept_with_its_area():
    inside = np.zeros((5, 6), bool)
    inside[0, 5] = True  # in a corner of the slice too
    (polygon,) = slice_polygons(inside)
    assert Polygon(polygon).area == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(polygon.mean(axis=0), (5, 0), atol=1e-6)


def test_holes_are_joined_to_their_border():
    """Two holes in one part, a part within a hole: each part one polygon, its holes at the end of channels."""
    inside = disc(20) & ~disc(4, centre=(22, 24)) & ~disc(6, centre=(36, 36))
    inside |= disc(2, centre=(36, 36))
    polygons = slice_polygons(inside)
    assert len(polygons) == 2
    assert (filled(polygons, inside.shape) == inside).all()
    outer = max(polygons, key=len)
    assert Polygon(outer).buffer(0).area == pytest.approx(inside.sum() - disc(2, centre=(36, 36)).sum(), abs=0.05)
    # a channel is walked forth and back
    steps = {tuple(np.round([*first, *last], 9)) for first, last in zip(outer, np.roll(outer, -1, axis=0), strict=True)}
    assert sum((c, d, a, b) in steps for a, b, c, d in steps) == 4


@pytest.mark.parametrize(
    "direction",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (1, 0, 0, 0, 1, 0, 0, 0, -1),
        (0, 0, -1, 1, 0, 0, 0, -1, 0),  # coronal slices
        (0.8, 0, 0.6, 0.36, 0.8, -0.48, -0.48, 0.6, 0.64),  # oblique in all axes
    ],
)
def test_points_lie_where_the_voxels_are(direction):
    """Through SimpleITK's own geometry the points are back at the voxels, exactly in the plane of their slice."""
    voxels = np.zeros((5, 12, 14), np.uint8)
    voxels[0, 0:4, 1:6] = 1  # first slice, at the edge
    voxels[3, 5:9, 7] = 1
    voxels[4, 11, 13] = 1  # last slice
    mask = sitk.GetImageFromArray(voxels)
    mask.SetOrigin((-20.5, 31.25, -400.7))
    mask.SetSpacing((0.9, 1.1, 2.7))
    mask.SetDirection(direction)
    contours = mask_contours(mask)
    assert sorted(contours) == [0, 3, 4]
    for index, polygons in contours.items():
        located = [
            np.array([mask.TransformPhysicalPointToContinuousIndex(tuple(point)) for point in polygon])
            for polygon in polygons
        ]
        assert np.abs(np.concatenate(located)[:, 2] - index).max() < 1e-6
        assert (filled([points[:, :2] for points in located], (12, 14)) == (voxels[index] > 0)).all()


def test_empty_mask_has_no_contours():
    assert mask_contours(sitk.Image(4, 4, 4, sitk.sitkUInt8)) == {}
