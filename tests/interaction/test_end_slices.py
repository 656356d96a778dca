"""Marks of the end slices."""

import nibabel as nib
import numpy as np
import pytest
from igtv.interaction.clicks import clicks_from_voxels
from igtv.interaction.end_slices import apply_end_marks
from igtv.interaction.likeness import TissueLikeness


def ended(scene, inside=(), outside=(), radius_mm=40.0):
    marks = clicks_from_voxels(inside, scene.affine, True) + clicks_from_voxels(outside, scene.affine, False)
    tissue = TissueLikeness(scene.ct_hu, scene.pet_suv, scene.affine)
    return apply_end_marks(scene.probability, scene.mask, tissue, scene.affine, marks, radius_mm)


def slices_of(mask):
    found = np.flatnonzero(mask.any(axis=(0, 1)))
    return found[0], found[-1]


def test_scene(scene):
    assert slices_of(scene.mask) == (14, 22)


def test_last_slice_inside(scene):
    result = ended(scene, inside=[[20, 30, 20]])
    assert slices_of(result.mask) == (14, 20)
    assert result.beyond_ml == 0
    assert (result.mask[..., 14:21] & scene.hot[..., 14:21]).sum() == scene.hot[..., 14:21].sum()


def test_first_slice_outside(scene):
    result = ended(scene, outside=[[20, 30, 16]])
    assert slices_of(result.mask) == (17, 22)
    assert (result.mask[..., 17:] == scene.mask[..., 17:]).all()
    assert result.beyond_ml == 0


def test_marks_outside_only_cut(scene):
    """Also on both ends at once, in tissue that looks like the tumour beside them."""
    result = ended(scene, outside=[[20, 30, 15], [20, 30, 21]])
    assert slices_of(result.mask) == (16, 20)
    assert (result.mask[..., 16:21] == scene.mask[..., 16:21]).all()


def test_both_ends_at_once(scene):
    assert slices_of(ended(scene, inside=[[20, 30, 16], [20, 30, 20]]).mask) == (16, 20)


@pytest.mark.parametrize(("inside", "outside", "kept"), [(20, 21, (14, 20)), (16, 15, (16, 22))])
def test_two_marks_at_one_end(scene, inside, outside, kept):
    """The last slice with tumour and the first without: one end between them, the rest of the tumour stays."""
    result = ended(scene, inside=[[20, 30, inside]], outside=[[20, 30, outside]])
    first, last = kept
    assert slices_of(result.mask) == kept
    assert (result.mask[..., first : last + 1] == scene.mask[..., first : last + 1]).all()


def test_two_marks_inside_at_one_end(scene):
    """Both in the upper half of 14 to 22; taken for two ends they would leave two slices of nine."""
    with pytest.raises(ValueError, match=r"contradict.*\(20, 30, 21\).*nearer to"):
        ended(scene, inside=[[20, 30, 20], [20, 30, 21]])


def test_both_ends_without_proposal(scene):
    """The marks themselves tell the ends."""
    scene.mask[:] = False
    result = ended(scene, inside=[[42, 30, 16], [42, 30, 20]])
    assert slices_of(result.mask) == (16, 20)
    assert result.mask[42, 30, 16:21].all() and not (result.mask & scene.hot).any()


def test_grows_to_the_mark(scene):
    """The proposal ends too early; the mark lies where the tumour really ends."""
    scene.mask[..., 19:] = False
    scene.probability[..., 19:] = 0.05
    result = ended(scene, inside=[[20, 30, 21]])
    assert slices_of(result.mask) == (14, 21)
    assert result.mask[20, 30, 14:22].all()


def test_without_marks_nothing_changes(scene):
    assert (ended(scene).mask == scene.mask).all()


def test_nothing_farther_than_the_radius(scene):
    """A long proposal, marked in the middle: what lies farther stays, and is counted."""
    scene.mask[18:23, 28:33, :] = True
    result = ended(scene, inside=[[20, 30, 20]], radius_mm=20.0)
    changed = nib.affines.apply_affine(scene.affine, np.argwhere(result.mask != scene.mask))
    mark = nib.affines.apply_affine(scene.affine, [20, 30, 20])
    assert np.linalg.norm(changed - mark, axis=1).max() <= 20
    left = result.mask[..., 21:].sum()
    assert left and result.beyond_ml == pytest.approx(left * 0.012)


def test_feet_first_file(scene):
    """Stored from head to feet: the end in index order is the other one."""
    scene_affine = scene.affine.copy()
    for name in ("probability", "mask", "ct_hu", "pet_suv", "hot"):
        setattr(scene, name, getattr(scene, name)[..., ::-1].copy())
    scene.affine = scene_affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 35], [0, 0, 0, 1.0]])
    assert slices_of(ended(scene, inside=[[20, 30, 15]]).mask) == (15, 21)


def test_single_mark_without_proposal(scene):
    scene.mask[:] = False
    with pytest.raises(ValueError, match="needs a proposed mask"):
        ended(scene, inside=[[42, 30, 20]])


def test_marks_that_contradict_each_other(scene):
    with pytest.raises(ValueError, match="contradict"):
        ended(scene, inside=[[20, 30, 15], [20, 30, 16], [20, 30, 20]], outside=[[20, 30, 14]])
