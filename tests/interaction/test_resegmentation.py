"""Clicks obey, grow along their tissue, stay within the radius, and do not care how the volume is stored."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from igtv.interaction.clicks import clicks_from_voxels, voxel_of
from igtv.interaction.likeness import TissueLikeness
from igtv.interaction.resegmentation import resegment
from scipy import ndimage

from .conftest import affine_of


def corrected(scene, inside=(), outside=(), radius_mm=40.0):
    clicks = clicks_from_voxels(inside, scene.affine, True) + clicks_from_voxels(outside, scene.affine, False)
    tissue = TissueLikeness(scene.ct_hu, scene.pet_suv, scene.affine)
    return resegment(scene.probability, scene.mask, tissue, scene.affine, clicks, radius_mm)


def test_without_clicks_the_proposal_stays(scene):
    result = corrected(scene)
    assert (result == scene.mask).all() and result is not scene.mask


def test_one_click_brings_the_missed_tumour(scene):
    result = corrected(scene, inside=[[42, 30, 18]])
    assert (result & scene.hot).sum() == scene.hot.sum()
    overlap = 2 * (result & scene.cold).sum() / ((result & ~scene.hot).sum() + scene.cold.sum())
    assert overlap > 0.9


def test_one_click_takes_a_false_tumour_away(scene):
    result = corrected(scene, outside=[[20, 30, 18]])
    assert result.sum() < 0.15 * scene.hot.sum()  # a rim is left, where the CT is neither tumour nor lung
    assert not result[20, 30, 18]


def test_proposal_is_not_changed_in_place(scene):
    before = scene.mask.copy()
    corrected(scene, inside=[[42, 30, 18]])
    assert (scene.mask == before).all()


def test_contradiction_in_one_voxel(scene):
    with pytest.raises(ValueError, match="clicked as tumour and as no tumour"):
        corrected(scene, inside=[[20, 30, 18]], outside=[[20, 30, 18]])


def test_click_outside_the_volume(scene):
    with pytest.raises(ValueError, match="outside the volume"):
        corrected(scene, inside=[[60, 30, 18]])


def test_radius_must_be_positive(scene):
    with pytest.raises(ValueError, match="radius"):
        corrected(scene, inside=[[20, 30, 18]], radius_mm=0)


places = st.tuples(st.integers(0, 59), st.integers(0, 59), st.integers(0, 35)).map(list)


@settings(max_examples=15)
@given(
    inside=st.lists(places, max_size=4),
    outside=st.lists(places, max_size=4),
    radius_mm=st.sampled_from([4.0, 15.0, 40.0]),
    turned=st.booleans(),
)
def test_obeys_and_stays_near(inside, outside, radius_mm, turned):
    """Any clicks, noise for tissue: every clicked voxel has its way, every change lies within the radius of a click."""
    inside = [list(place) for place in {tuple(place) for place in inside}]
    outside = [list(place) for place in {tuple(place) for place in outside} - {tuple(place) for place in inside}]
    random = np.random.default_rng(len(inside) + 10 * len(outside))
    shape = (60, 60, 36)
    affine = affine_of((2, 2, 3), (5, -7, 11), (20, -30, 50) if turned else None)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), 3)
    probability = (smooth - smooth.min()) / np.ptp(smooth)
    mask = probability > 0.55
    tissue = TissueLikeness(300 * random.normal(size=shape), random.uniform(0, 8, shape), affine)
    clicks = clicks_from_voxels(inside, affine, True) + clicks_from_voxels(outside, affine, False)
    result = resegment(probability, mask, tissue, affine, clicks, radius_mm)
    for click in clicks:
        assert result[voxel_of(click, affine, shape)] == click.inside
    changed_mm = nib.affines.apply_affine(affine, np.argwhere(result != mask))
    for place in changed_mm:
        assert min(np.linalg.norm(place - click.position_mm) for click in clicks) <= radius_mm + 1e-6


@pytest.mark.parametrize("axes", ["LPS", "RAS", "RPI", "SAL", "PIR"])
def test_order_of_the_file_does_not_matter(scene, axes):
    """The same patient, stored otherwise, and clicks as the viewer counts them in that file."""
    expected = corrected(scene, inside=[[42, 30, 18]], outside=[[20, 34, 18]])
    way = nib.orientations.ornt_transform(nib.io_orientation(scene.affine), nib.orientations.axcodes2ornt(axes))
    back = nib.orientations.inv_ornt_aff(way, scene.mask.shape)
    affine = scene.affine @ back

    def stored(volume):
        return nib.apply_orientation(volume, way)

    def counted(voxel):
        return (np.linalg.inv(back) @ [*voxel, 1])[:3].round().astype(int).tolist()

    tissue = TissueLikeness(stored(scene.ct_hu), stored(scene.pet_suv), affine)
    clicks = clicks_from_voxels([counted([42, 30, 18])], affine, True)
    clicks += clicks_from_voxels([counted([20, 34, 18])], affine, False)
    result = resegment(stored(scene.probability), stored(scene.mask), tissue, affine, clicks)
    assert (result != stored(expected)).sum() <= 2  # sums in another order


def test_oblique_volume(scene):
    """Turned in space, clicks turned with it: the same voxels."""
    expected = corrected(scene, inside=[[42, 30, 18]], outside=[[20, 34, 18]])
    scene.affine = affine_of((2.0, 2.0, 3.0), (12, -40, 33), (25, -35, 60))
    result = corrected(scene, inside=[[42, 30, 18]], outside=[[20, 34, 18]])
    assert (result != expected).sum() <= 2


def test_sheared_volume_keeps_the_radius(scene):
    """A tilted gantry: index axes that are not square to each other."""
    scene.affine = scene.affine.copy()
    scene.affine[1, 2] = 1.2
    result = corrected(scene, inside=[[42, 30, 18]], radius_mm=12.0)
    changed = nib.affines.apply_affine(scene.affine, np.argwhere(result != scene.mask))
    centre = nib.affines.apply_affine(scene.affine, [42, 30, 18])
    assert result[42, 30, 18]
    assert np.linalg.norm(changed - centre, axis=1).max() <= 12.0
    assert np.linalg.norm(changed - centre, axis=1).max() > 7.0
