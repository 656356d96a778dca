"""Automatic proposals: on the grid of the series asked for, in the viewers' file types, with the model's name."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from lib.server.inference import run_inference
from lib.studies.errors import PetMissing

from .conftest import CT_AXES, MISSED_MM, RADIUS_MM, TUMOUR_MM

CASES = [*CT_AXES, "oblique"]


def infer(app, name, case, **params):
    return app.infers[name]({"model": name, "case_id": case, **params})


def read_place(path):
    """Centre of mass of what is > 0, in patient RAS mm, and its volume in ml, by SimpleITK."""
    image = sitk.ReadImage(path)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.Cast(image > 0, sitk.sitkUInt8))
    x, y, z = statistics.GetCentroid(1)
    return np.array([-x, -y, z]), statistics.GetPhysicalSize(1) / 1000


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_mask_lies_where_the_tumour_is(app, case, extension):
    """Read by another library than the one that wrote it; the geometry is the CT's."""
    path, params = infer(app, "igtv", case, result_extension=extension, result_dtype="uint8")
    place, volume_ml = read_place(path)
    assert np.linalg.norm(place - TUMOUR_MM) < 1.0
    assert volume_ml == pytest.approx(4 / 3 * np.pi * (RADIUS_MM / 10) ** 3, rel=0.25)
    result, ct = sitk.ReadImage(path), sitk.ReadImage(str(app.studies / f"{case}.nii.gz"))
    assert result.GetSize() == ct.GetSize()
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(result, what)(), getattr(ct, what)(), atol=1e-4)
    assert result.GetPixelID() == sitk.sitkUInt8
    assert params["label_names"] == {"igtv": 1}
    assert params["measures"]["volume_ml"] == pytest.approx(volume_ml, abs=0.01)


@pytest.mark.parametrize("case", CASES)
def test_request_for_the_pet_is_answered_on_its_grid(app, case):
    path, params = infer(app, "igtv", f"{case}__pet", result_extension=".nrrd")
    pet = sitk.ReadImage(str(app.studies / "pet" / f"{case}.nii.gz"))
    result = sitk.ReadImage(path)
    assert result.GetSize() == pet.GetSize()
    assert np.allclose(result.GetDirection(), pet.GetDirection(), atol=1e-4)
    assert np.linalg.norm(read_place(path)[0] - TUMOUR_MM) < 1.5
    assert params["grid"] == "pet"


def test_nrrd_is_not_compressed_and_in_the_order_of_the_ct(app):
    """OHIF pours the bytes behind the header into the labels of the series as they are."""
    path, _ = infer(app, "igtv", "LPS", result_extension=".nrrd", result_dtype="uint8")
    content = Path(path).read_bytes()
    header, _, voxels = content.partition(b"\n\n")
    assert b"encoding: raw" in header
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(app.studies / "LPS.nii.gz")))
    mask = np.frombuffer(voxels, np.uint8).reshape(ct.shape)
    assert (ct[mask > 0] == 40).mean() > 0.85  # the PET is interpolated at the rim


def test_probability_and_uncertainty(app):
    """In per cent as whole numbers; entropy of 0.9 is 0.469 bits, of 0.02 it is 0.141."""
    tumour = nib.load(infer(app, "igtv", "RAS")[0]).get_fdata() > 0
    for output, inside, outside, unit in (("probability", 0.9, 0.02, "1"), ("uncertainty", 0.469, 0.1414, "bit")):
        path, params = infer(app, "igtv", "RAS", output=output)
        values = nib.load(path).get_fdata()
        assert params["unit"] == "percent" and params["output"] == output
        assert set(np.unique(values[tumour])) == {round(100 * inside)}
        assert set(np.unique(values[~tumour])) == {round(100 * outside)}
        path, params = infer(app, "igtv", "RAS", output=output, result_dtype="float32")
        values = nib.load(path).get_fdata()
        assert params["unit"] == unit
        assert np.allclose(values[tumour], inside, atol=1e-3) and np.allclose(values[~tumour], outside, atol=1e-3)


def test_options_as_lists_mean_their_first_value(app):
    """As a client sends back what /info/ offers."""
    _, params = infer(app, "igtv", "RAS", output=["mask", "probability"])
    assert params["output"] == "mask"


def test_models_are_named_for_what_they_were_trained_on(app):
    info = app.infers["igtv"].info()
    assert info["type"] == "segmentation" and info["labels"] == {"igtv": 1}
    assert "sarcoma" in info["description"] and "version 1" in info["description"]
    assert info["model"]["task"] == "igtv"
    assert app.infers["gtv"].info()["labels"] == {"gtv": 1}
    assert next(iter(app.infers)) == "igtv"  # Slicer runs the first on a new case
    _, params = infer(app, "gtv", "RAS")
    assert params["model"]["registry"] == "gtv" and params["model"]["version"] == 1
    assert len(params["model"]["sha256"]) == 64


def test_missing_pet_is_said(app):
    (app.studies / "pet" / "RAS.nii.gz").unlink()
    with pytest.raises(PetMissing, match="has no PET"):
        infer(app, "igtv", "RAS")
    assert not app.proposals.segmenter.calls


def test_pet_that_is_no_suv_is_said(app):
    path = app.studies / "pet" / "RAS.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata() * 5000, image.affine), path)
    with pytest.raises(PetMissing, match="SUV"):
        infer(app, "igtv", "RAS")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"output": "everything"}, "output"),
        ({"result_extension": ".py"}, "not offered"),
        ({"result_dtype": "object"}, "not offered"),
    ],
)
def test_wrong_request_leaves_no_file(app, params, message):
    with pytest.raises(ValueError, match=message):
        infer(app, "igtv", "RAS", **params)
    assert not list(app.folders.temporary.iterdir())


def test_strings_of_the_server_do_not_reach_the_transforms(app):
    """MONAI's Spacingd fails on a string under `image_path`, which MONAI Label adds to every request."""
    ct = str(app.studies / "RAS.nii.gz")
    path, _ = infer(app, "igtv", "RAS", image=ct, image_path=ct, label_path="nowhere")
    assert nib.load(path).get_fdata().any()


def test_a_disk_too_full_for_the_proposal_keeps_nobody_from_the_mask(app, monkeypatch):
    """On either grid; no unfinished file stays, and the proposal of before stays as it is."""
    infer(app, "igtv", "RAS")
    before = app.datastore().proposal("RAS")[0].read_bytes()

    def full(*_, **__):
        raise RuntimeError("no space left")

    monkeypatch.setattr("lib.labels.mask_file.sitk.WriteImage", full)
    for image in ("RAS", "RAS__pet"):
        path, _ = infer(app, "igtv", image)  # NIfTI, which nibabel writes
        assert nib.load(path).get_fdata().any()
    folder = app.datastore().proposals.folder
    assert [file.name for file in folder.iterdir()] == ["RAS.nii.gz"]
    assert (folder / "RAS.nii.gz").read_bytes() == before


def test_proposal_is_kept_for_measuring_edits(app):
    infer(app, "igtv", "RAS")
    path, note = app.datastore().proposal("RAS")
    assert nib.load(path).get_fdata().sum() > 0
    assert (note["model"], note["version"]) == ("igtv", "1")


def test_nothing_else_becomes_the_proposal(app):
    """Neither a map, nor a mask on the PET's grid (kept by itself), nor the GTV, nor what a client wants saved."""
    server = SimpleNamespace(infers=lambda: app.infers, datastore=app.datastore)
    for model, image, output in (("igtv", "RAS", "probability"), ("igtv", "RAS__pet", "mask"), ("gtv", "RAS", "mask")):
        request = {"model": model, "image": image, "output": output, "save_label": True}
        assert run_inference(server, request)["params"]["output"] == output
        assert app.datastore().proposal("RAS") is None
        kept_of_pet = app.datastore().proposal("RAS", "pet")
        assert (kept_of_pet is None) == (output == "probability")
    assert kept_of_pet[1]["version"] == "1" and "original" not in app.datastore().get_labels_by_image_id("RAS")
    run_inference(server, {"model": "igtv", "image": "RAS", "save_label": True})
    assert app.datastore().proposal("RAS")[1]["version"] == "1"


@pytest.mark.parametrize("case", CASES)
def test_an_answer_on_the_pet_submitted_as_it_was_has_its_model(app, case):
    """Whatever is proposed on the CT meanwhile, and in whichever order the viewer sends the slices."""
    answer, _ = infer(app, "igtv", f"{case}__pet", result_extension=".nrrd")
    turned = str(Path(answer).with_name("turned.nrrd"))
    sitk.WriteImage(sitk.Flip(sitk.ReadImage(answer), [False, True, True]), turned)
    store, info = app.datastore(), {"label_info": [{"name": "igtv", "idx": 1}]}
    for path in (answer, turned):
        event = store.submit_label(f"{case}__pet", path, user="anna", params=info).event
        assert event["model"] == event["proposed_by"] == {"name": "igtv", "version": "1"}
        assert event["edit_dice"] > 0.99
        infer(app, "igtv", case)
    told = store.submit_label(f"{case}__pet", answer, user="anna", params={**info, "model": "igtv"}).event
    assert told["model"] == {"name": "igtv", "version": "1"}


def test_contours_drawn_on_the_pet_after_a_run_have_no_model(app):
    """A ball elsewhere in the PET, and one about the tumour that is larger all round."""
    infer(app, "igtv", "LPS__pet")
    pet = nib.load(app.studies / "pet" / "LPS.nii.gz")
    places = nib.affines.apply_affine(pet.affine, np.moveaxis(np.indices(pet.shape), 0, -1))
    path = app.folders.temporary / "drawn.nii.gz"
    for centre, radius_mm in ((MISSED_MM, RADIUS_MM), (TUMOUR_MM, RADIUS_MM + 8)):
        ball = np.linalg.norm(places - centre, axis=-1) <= radius_mm
        nib.save(nib.Nifti1Image(ball.astype(np.uint8), pet.affine), path)
        params = {"label_info": [{"name": "igtv", "idx": 1}]}
        event = app.datastore().submit_label("LPS__pet", path, user="anna", params=params).event
        assert event["model"] is None and event["proposed_by"] == {"name": "igtv", "version": "1"}


def test_nothing_found_is_said(app):
    path = app.studies / "pet" / "RAS.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.minimum(image.get_fdata(), 3), image.affine), path)
    result, params = infer(app, "igtv", "RAS")
    assert not nib.load(result).get_fdata().any()
    assert "no tumour" in params["message"]


def test_session_with_both_volumes(app, tmp_path):
    """Volumes brought along, also as NRRD; they are answered but not kept."""
    brought = tmp_path / "session"
    brought.mkdir()
    shutil.copy(app.studies / "oblique.nii.gz", brought / "ct.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(app.studies / "pet" / "oblique.nii.gz")), str(brought / "pet.nrrd"))
    session = {"name": "s1", "image": str(brought)}
    path, _ = app.infers["igtv"]({"session": session, "result_extension": ".nrrd"})
    assert np.linalg.norm(read_place(path)[0] - TUMOUR_MM) < 1.0
    assert app.datastore().proposal("oblique") is None


@pytest.mark.parametrize("files", [["volume.nii.gz"], ["ct.nii.gz"], ["ct.nii.gz", "other.nii.gz"]])
def test_session_without_pet(app, tmp_path, files):
    brought = tmp_path / "session"
    brought.mkdir()
    for name in files:
        shutil.copy(app.studies / "RAS.nii.gz", brought / name)
    image = brought if len(files) > 1 else brought / files[0]  # as MONAI Label keeps one file and several
    with pytest.raises(PetMissing, match=r"pet\.nii\.gz"):
        app.infers["igtv"]({"session": {"name": "s1", "image": str(image)}})
