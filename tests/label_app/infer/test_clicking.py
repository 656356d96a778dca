"""Clicks as both viewers send them: voxel indices of the series on screen, CT or PET, however it is stored."""

import nibabel as nib
import numpy as np
import pytest
from lib.server.parameters import one_of

from .conftest import CT_AXES, MISSED_MM, TUMOUR_MM, voxel_at

CASES = [*CT_AXES, "oblique"]


def click(app, case, task="igtv_clicks", **params):
    """The request of a viewer: Slicer and OHIF send both lists every time."""
    path, params = app.infers[task](
        {"case_id": case, "label": "igtv", "foreground": [], "background": [], "radius_mm": 20.0, **params}
    )
    image = nib.load(path)
    return np.asarray(image.dataobj) > 0, image.affine, params


def ball(mask, affine, centre_mm):
    """Share of the ball of 10 mm about a place that is in the mask."""
    places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(mask.shape), 0, -1))
    return mask[np.linalg.norm(places - centre_mm, axis=-1) <= 10].mean()


@pytest.mark.parametrize("case", CASES)
def test_click_on_the_ct(app, case):
    """The missed tumour comes, the other one stays, nothing farther than the radius changes."""
    voxel = voxel_at(app.studies / f"{case}.nii.gz", MISSED_MM)
    before, _, _ = click(app, case)
    mask, affine, params = click(app, case, foreground=[voxel])
    assert mask[tuple(voxel)]
    assert ball(before, affine, MISSED_MM) == 0 and ball(mask, affine, MISSED_MM) > 0.95
    assert ball(mask, affine, TUMOUR_MM) > 0.95
    changed = nib.affines.apply_affine(affine, np.argwhere(mask != before))
    centre = nib.affines.apply_affine(affine, voxel)
    assert np.linalg.norm(changed - centre, axis=1).max() <= params["radius_mm"] == 20.0
    assert params["clicks"] == 1 and params["changed_ml"] > 5


@pytest.mark.parametrize("case", CASES)
def test_click_on_the_pet(app, case):
    """Counted in the PET's voxels, answered on the PET's grid."""
    pet = app.studies / "pet" / f"{case}.nii.gz"
    inside, outside = voxel_at(pet, MISSED_MM), voxel_at(pet, TUMOUR_MM)
    mask, affine, params = click(app, f"{case}__pet", foreground=[inside], background=[outside])
    assert mask.shape == nib.load(pet).shape and params["grid"] == "pet"
    assert mask[tuple(inside)] and not mask[tuple(outside)]
    assert ball(mask, affine, MISSED_MM) > 0.9 and ball(mask, affine, TUMOUR_MM) < 0.2


def test_the_network_runs_once_for_many_clicks(app):
    for step in range(3):
        click(app, "RAS", foreground=[voxel_at(app.studies / "RAS.nii.gz", MISSED_MM + [0, 0, 3 * step])])
    assert len(app.proposals.segmenter.calls) == 1


@pytest.mark.parametrize("case", CASES)
def test_end_slice_marks(app, case):
    """A mark 6 mm below the upper end of the tumour cuts what is above it."""
    ct = app.studies / f"{case}.nii.gz"
    voxel = voxel_at(ct, TUMOUR_MM + [0, 0, 6])
    before, affine, _ = click(app, case)
    mask, _, params = click(app, case, task="igtv_end_slices", foreground=[voxel], radius_mm=40.0)
    up = np.sign(affine[2, 2])
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    assert (filled[-1] if up > 0 else filled[0]) == voxel[2]
    assert before.sum() > mask.sum() > 0.5 * before.sum()
    assert params["beyond_ml"] == 0


def test_what_clicks_correct_is_kept_as_the_proposal(app):
    """Also where nobody asked for it by itself: without it the label would count as drawn by hand."""
    voxel = voxel_at(app.studies / "LPS.nii.gz", MISSED_MM)
    click(app, "LPS__pet")  # kept by itself: it lies on the CT's grid as what is drawn on the PET will
    assert app.datastore().proposal("LPS") is None
    on_pet, note = app.datastore().proposal("LPS", "pet")
    assert (note["model"], note["version"]) == ("igtv", "1") and np.asarray(nib.load(on_pet).dataobj).any()
    mask, _, _ = click(app, "LPS", foreground=[voxel])
    path, note = app.datastore().proposal("LPS")
    proposed = np.asarray(nib.load(path).dataobj) > 0
    assert (note["model"], note["version"]) == ("igtv", "1")
    assert mask[tuple(voxel)] and not proposed[tuple(voxel)] and proposed.any()
    assert proposed.sum() == (click(app, "LPS")[0]).sum()
    written = path.stat().st_mtime_ns
    click(app, "LPS", foreground=[voxel])
    assert path.stat().st_mtime_ns == written
    assert len(list(app.folders.temporary.iterdir())) == 4  # the answers, which the server removes


def test_what_clicks_on_the_pet_correct_has_its_model(app):
    """The clicks bring the missed tumour; the outline of the other one is as proposed."""
    pet = app.studies / "pet" / "LPS.nii.gz"
    mask, affine, _ = click(app, "LPS__pet", foreground=[voxel_at(pet, MISSED_MM)])
    path = app.folders.temporary / "label.nii.gz"
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), path)
    params = {"label_info": [{"name": "igtv", "idx": 1}]}
    event = app.datastore().submit_label("LPS__pet", path, user="anna", params=params).event
    assert event["model"] == {"name": "igtv", "version": "1"} and 0.5 < event["edit_dice"] < 0.9


def test_contract_of_the_viewers(app):
    """Both viewers offer tasks of type deepgrow for clicks; Slicer asks whether they work in 3-D."""
    for name in ("igtv_clicks", "igtv_end_slices"):
        info = app.infers[name].info()
        assert (str(info["type"].value), info["dimension"], info["labels"]) == ("deepgrow", 3, {"igtv": 1})
        assert info["config"]["radius_mm"] == ["40", "20", "60"]  # texts: Slicer looks for the chosen one in the list


def test_a_radius_comes_as_number_or_as_the_text_that_was_offered(app):
    voxel = voxel_at(app.studies / "RAS.nii.gz", MISSED_MM)
    answers = [click(app, "RAS", foreground=[voxel], radius_mm=radius)[2] for radius in (60.0, "60", ["60", "20"])]
    assert [params["radius_mm"] for params in answers] == [60.0] * 3
    check = one_of("40", "20", "60")
    assert [check(value) for value in ("20", 20, 20.0, "20.0")] == ["20"] * 4
    for value in (True, "x", None, ["20"], 30):
        with pytest.raises(ValueError, match="must be one of 40, 20, 60"):
            check(value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"foreground": [[1, 2]]}, "three"),
        ({"foreground": [[64, 0, 0]]}, "outside the volume"),
        ({"background": [[0, 0, -1]]}, "outside the volume"),
        ({"foreground": "all"}, "list of points"),
        ({"foreground": [[5, 5, 5]], "background": [[5, 5, 5]]}, "clicked as tumour and as no tumour"),
        ({"radius_mm": 1e6}, "radius_mm"),
    ],
)
def test_what_cannot_be_is_said_before_the_network_runs(app, params, message):
    with pytest.raises(ValueError, match=message):
        click(app, "RAS", **params)
    assert not list(app.folders.temporary.iterdir())


def test_fourth_number_of_a_point_is_left_out(app):
    """Some clients send homogeneous coordinates."""
    voxel = voxel_at(app.studies / "RAS.nii.gz", MISSED_MM)
    mask, _, _ = click(app, "RAS", foreground=[[*voxel, 1]])
    assert mask[tuple(voxel)]
