"""Contours to masks: numbers by hand, analytic bodies, every kind of grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from igtv.dicom.contour_masks import Contour, contours_to_mask
from igtv.dicom.errors import DicomError
from igtv.dicom.polygon_fill import fill_polygon, fill_polygons


def square(x0, x1, y0, y1, z=None):
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return np.array(corners if z is None else [(*corner, z) for corner in corners], float)


def circle(radius, centre=(0.0, 0.0), number=120):
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def image(size=(40, 40, 20), spacing=(1.0, 1.0, 3.0), origin=(-19.5, -19.5, 0.0), direction=None):
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing(spacing)
    grid.SetOrigin(origin)
    if direction is not None:
        grid.SetDirection(np.asarray(direction, float).ravel().tolist())
    return grid


def filled(contours, reference, xor=False):
    mask, notes = contours_to_mask([Contour(np.asarray(points, float), xor) for points in contours], reference)
    assert mask.GetPixelID() == sitk.sitkUInt8 and mask.GetDirection() == reference.GetDirection()
    return sitk.GetArrayFromImage(mask), notes


def rotation(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    first, second = [k for k in range(3) if k != axis]
    matrix[first, first], matrix[first, second], matrix[second, first], matrix[second, second] = c, -s, s, c
    return matrix


def test_pixel_belongs_when_its_centre_does():
    assert fill_polygon(square(0.9, 3.1, 1.9, 2.1), (4, 6)).nonzero()[1].tolist() == [1, 2, 3]
    assert fill_polygon(square(1, 3, 1, 3), (5, 5)).sum() == 4, "of two squares with a common edge one has the pixels"
    assert not fill_polygon(square(10, 12, 1, 3), (5, 5)).any()
    assert fill_polygon(square(-5, 20, -5, 20), (5, 5)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 23), st.floats(-3, 23)), min_size=3, max_size=12))
def test_even_odd_against_ray_casting(corners):
    """Every centre that lies clearly on one side of every edge and vertex."""
    expected, unclear = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    for row in range(20):
        for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
            if min(abs(y1 - row), abs(y2 - row)) < 1e-6:
                unclear[row] = True
            elif (y1 < row) != (y2 < row):
                crossing = x1 + (row - y1) * (x2 - x1) / (y2 - y1)
                expected[row] ^= np.arange(20) > crossing
                unclear[row] |= np.abs(np.arange(20) - crossing) < 1e-6
    assert not ((fill_polygon(np.array(corners), (20, 20)) != expected) & ~unclear).any()


def test_holes_islands_and_parts():
    outer, hole, island, other = square(1, 18, 1, 18), square(4, 15, 4, 15), square(7, 12, 7, 12), square(20, 23, 1, 4)
    area, repeated = fill_polygons([island, hole, other, outer], (25, 25))
    assert area.sum() == 17**2 - 11**2 + 5**2 + 9 and repeated == 0
    keyhole = np.array([(1, 1), (18, 1), (18, 18), (1, 18), (1, 1), (4, 4), (4, 15), (15, 15), (15, 4), (4, 4)], float)
    assert (fill_polygon(keyhole, (25, 25)) == fill_polygons([outer, hole], (25, 25))[0]).all()


def test_overlap_repetition_and_xor():
    first, second = square(1, 11, 1, 11), square(6, 16, 1, 11)
    assert fill_polygons([first, second], (20, 20))[0].sum() == 150
    assert fill_polygons([first, second], (20, 20), xor=True)[0].sum() == 100
    once, repeated = fill_polygons([first, first[::-1] + 1e-3], (20, 20))
    assert once.sum() == 100 and repeated == 1
    assert not fill_polygons([first, first], (20, 20), xor=True)[0].any()
    hole_in_both = square(7, 10, 4, 7)
    assert fill_polygons([first, second, hole_in_both], (20, 20))[0].sum() == 150 - 9


def test_hole_that_touches_the_outline():
    assert fill_polygons([square(1, 11, 1, 11), square(1, 5, 3, 6)], (20, 20))[0].sum() == 100 - 12


def test_each_contour_fills_its_slice():
    array, notes = filled([square(-5.2, 5.2, -5.2, 5.2, z) for z in (6, 9, 12.02)], image())
    assert array.any(axis=(1, 2)).nonzero()[0].tolist() == [2, 3, 4] and not notes
    assert (array.sum(axis=(1, 2))[2:5] == 100).all()


def test_sparse_contours_are_interpolated():
    cone = [np.c_[circle(radius), np.full(120, z)] for z, radius in ((6, 6), (12, 8), (18, 10), (24, 12))]
    array, notes = filled(cone, image())
    areas = array.sum(axis=(1, 2))
    assert areas.nonzero()[0].tolist() == list(range(1, 9)), "half a contour spacing beyond the first and last contour"
    assert areas[3] == pytest.approx(np.pi * 7**2, rel=0.06) and areas[5] == pytest.approx(np.pi * 9**2, rel=0.06)
    assert any("3 slices lie between contours" in note for note in notes)


def test_part_that_ends_reaches_half_way():
    """Of two parts one ends at z = 12: between contours it neither fades at once nor follows the other one."""
    long, short = (lambda z: square(-15.2, -5.2, -5.2, 5.2, z)), (lambda z: square(5.2, 15.2, -5.2, 5.2, z))
    contours = [*(long(z) for z in (0, 6, 12, 18, 24)), *(short(z) for z in (0, 6, 12))]
    array, _ = filled(contours, image(size=(40, 40, 24), spacing=(1.0, 1.0, 1.0)))
    areas = array[:, :, 20:].sum(axis=(1, 2))
    assert areas[:16].tolist() == [100] * 16 and not areas[16:].any()
    assert (array[:, :, :20].sum(axis=(1, 2)) == 100).all()


def test_gap_stays_empty_and_is_told():
    array, notes = filled([square(-5.2, 5.2, -5.2, 5.2, z) for z in (3, 6, 9, 30, 33)], image())
    assert array.any(axis=(1, 2)).nonzero()[0].tolist() == [1, 2, 3, 10, 11]
    assert any("21.0 mm" in note for note in notes)


def test_dense_contours_on_thick_slices():
    array, _ = filled([square(-5.2, 5.2, -5.2, 5.2, z) for z in range(3, 16)], image())
    assert array.any(axis=(1, 2)).nonzero()[0].tolist() == [1, 2, 3, 4, 5]
    thin, notes = filled([square(-5.2, 5.2, -5.2, 5.2, z) for z in (4.2, 4.6, 5.0)], image())
    assert thin.any(axis=(1, 2)).nonzero()[0].tolist() == [1, 2] and any("thinner" in note for note in notes)


@pytest.mark.parametrize("offset", [0.5, 1.0, 1.5, 2.0, 2.5])
def test_n_contours_fill_n_slices_wherever_slices_lie(offset):
    array, _ = filled([square(-5.2, 5.2, -5.2, 5.2, z + offset) for z in (9, 12, 15, 18)], image())
    assert array.any(axis=(1, 2)).sum() == 4


def test_outside_is_told():
    array, notes = filled([square(10.2, 30, -5.2, 5.2, z) for z in (-9, 0, 3)], image())
    assert array.any(axis=(1, 2)).nonzero()[0].tolist() == [0, 1]
    assert any("does not hold all of it" in note for note in notes)


@pytest.mark.parametrize(
    "direction",
    [np.diag([-1, -1, 1]), np.diag([1, 1, -1]), rotation(30, 2), rotation(20, 0), rotation(15, 0) @ rotation(25, 1)],
)
def test_contours_drawn_in_the_slices_of_any_grid(direction):
    """Voxel (i, j, k) is inside in the image's own axes, whatever the axes are."""
    reference = image(direction=direction)
    stored = [np.c_[square(9.5, 20.5, 4.5, 30.5), np.full(4, k)] for k in (3, 4, 5)]
    contours = [
        np.array([reference.TransformContinuousIndexToPhysicalPoint(point.tolist()) for point in p]) for p in stored
    ]
    array, notes = filled(contours, reference)
    expected = np.zeros_like(array)
    expected[3:6, 5:31, 10:21] = 1
    assert (array == expected).all() and not notes


@pytest.mark.parametrize("direction", [rotation(30, 0), rotation(90, 0), rotation(20, 0) @ rotation(35, 1)])
def test_axial_contours_on_an_oblique_grid(direction):
    """A sphere cut by axial planes, seen on a grid that is tilted against them: every voxel against the equation."""
    radius, spacing = 15.0, np.array([1.0, 1.2, 2.0])
    size = np.array([45, 40, 25])
    origin = -direction @ (spacing * (size - 1) / 2)
    reference = image(size.tolist(), spacing.tolist(), origin.tolist(), direction)
    contours = [np.c_[circle(np.sqrt(radius**2 - z**2)), np.full(120, z)] for z in np.arange(-14.5, 15, 1.0)]
    array, notes = filled(contours, reference)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    points = index * spacing @ direction.T + origin
    expected = (np.linalg.norm(points, axis=-1) < radius).transpose(2, 1, 0)
    assert 2 * (array & expected).sum() / (array.sum() + expected.sum()) > 0.98
    assert array.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert any("degrees" in note for note in notes)


def test_contours_that_share_no_plane_are_refused():
    bent = square(-5, 5, -5, 5, 0)
    bent[0, 2] = 4
    with pytest.raises(DicomError, match="not planar"):
        filled([bent], image())
    upright = square(-5, 5, -5, 5, 0)[:, [0, 2, 1]]
    with pytest.raises(DicomError, match="not parallel"):
        filled([square(-5, 5, -5, 5, 3), upright + [0, 0, 5]], image())


def test_contours_that_are_lines_askew_are_refused():
    """In a slice a line encloses no voxel; one that leaves it has no plane to be filled in."""
    line = np.array([(0, 0, 0), (3, 3, 3), (6, 6, 6), (3, 3, 3)])
    with pytest.raises(DicomError, match="enclose no area"):
        filled([line], image())


def test_reference_must_be_a_volume():
    with pytest.raises(DicomError, match="3-D"):
        contours_to_mask([Contour(square(0, 1, 0, 1, 0))], sitk.Image(5, 5, sitk.sitkUInt8))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(2, 9), st.floats(2, 9)),
    st.integers(1, 8),
    st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
    st.randoms(use_true_random=False),
)
def test_order_and_direction_of_contours_do_not_matter(radii, number, centre, random):
    contours = [np.c_[circle(1.0, number=40) * radii + centre, np.full(40, 3.0 * k + 6)] for k in range(number)]
    expected, _ = filled(contours, image())
    shuffled = [points[::-1] if random.random() < 0.5 else np.roll(points, 7, axis=0) for points in contours]
    random.shuffle(shuffled)
    assert (filled(shuffled, image())[0] != expected).sum() <= 2 * number
    volume = np.pi * radii[0] * radii[1] * number
    assert expected.sum() == pytest.approx(volume, rel=0.25, abs=8)
