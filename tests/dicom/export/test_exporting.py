"""The verb `exporting` and the DICOM forms that `inferring` writes beside its masks."""

import json
import logging
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from igtv.dicom.errors import DicomError
from igtv.dicom.export import without_other_lesions
from igtv.dicom.exporting import export_mask
from igtv.dicom.rtstruct_reader import read_contours
from igtv.dicom.volume import read_volume
from igtv.inference.case_writer import CaseWriter
from igtv.inference.dicom_export import DicomExport
from igtv.inference.lesions import ChooseLesionsd
from monai.bundle import run
from monai.data import MetaTensor

CARD = {"name": "Test model", "task": "gtv", "sha256": "cd" * 32}


@pytest.fixture
def patient(tmp_path, write_ct, references):
    """A CT in DICOM and as NIfTI, a PET on its grid, and a mask of two lesions as the network leaves it."""
    folder = write_ct(tmp_path / "dicom")
    ct, _ = read_volume(folder)
    (tmp_path / "case").mkdir()
    sitk.WriteImage(sitk.Cast(ct, sitk.sitkInt16), str(tmp_path / "case" / "ct.nii.gz"))
    sitk.WriteImage(ct * 0 + 2, str(tmp_path / "case" / "pet.nii.gz"))
    image = nib.load(tmp_path / "case" / "ct.nii.gz")
    mask = np.zeros(image.shape, np.uint8)
    mask[5:14, 8:18, 0:6] = 1
    mask[25:30, 20:26, 6:9] = 1
    return {
        "dicom": folder,
        "case": {"case": "P1", **{key: str(tmp_path / "case" / f"{key}.nii.gz") for key in ("ct", "pet")}},
        "pred": MetaTensor(torch.from_numpy(mask[None]), affine=torch.from_numpy(image.affine)),
        "mask": mask,
        "affine": image.affine,
    }


def write_case(folder, patient, lesions="largest", **settings):
    writer = CaseWriter(
        folder, [patient["case"]], ("mask",), model_card=CARD, progress=False,
        dicom_export=DicomExport(reference_dicom=patient["dicom"], **settings),
    )  # fmt: skip
    data = ChooseLesionsd("pred", (0.0, 15.0), lesions)({"pred": patient["pred"]})
    row = writer.write("P1", {**data, "probability": data["pred"] * 0.8})
    return writer, row


def contours(path, patient):
    """Mask (X, Y, Z) of the only ROI."""
    grid = sitk.ReadImage(patient["case"]["ct"])
    ((name, mask),) = read_contours(path, grid).items()
    return name, sitk.GetArrayFromImage(mask).transpose()


def test_inference_writes_what_is_asked_for(tmp_path, patient):
    folder = tmp_path / "out" / "P1"
    _, row = write_case(tmp_path / "out", patient, export=["nifti", "rtstruct", "dicomseg"])
    assert row["exported"] == ["rtstruct.dcm", "seg.dcm"] and row["lesions_found"] == 2
    assert [(lesion["number"], lesion["chosen"]) for lesion in row["lesions"]] == [(1, True), (2, False)]
    name, read = contours(folder / "rtstruct.dcm", patient)
    assert name == "GTV_AI"
    np.testing.assert_array_equal(read, np.asarray(nib.load(folder / "pred.nii.gz").dataobj))
    assert read.sum() == 540
    description = pydicom.dcmread(folder / "rtstruct.dcm").StructureSetDescription
    assert "Test model" in description and "cd" * 32 in description
    assert json.loads((folder / "manifest.json").read_text())["result"]["lesions"][1]["volume_ml"] > 0
    write_case(tmp_path / "out", patient, export="nifti")
    assert sorted(file.name for file in folder.iterdir()) == ["lesions.nii.gz", "manifest.json", "pred.nii.gz"]


def test_another_lesion_is_exported_later_without_the_network(tmp_path, patient):
    write_case(tmp_path / "out", patient, export=["nifti"])
    out = tmp_path / "export"
    lesions = tmp_path / "out" / "P1" / "lesions.nii.gz"
    files = export_mask(lesions, patient["dicom"], out, ["nifti", "rtstruct", "dicomseg"], lesions=2)
    assert {file.name for file in files} == {"mask.nii.gz", "rtstruct.dcm", "seg.dcm"}
    name, read = contours(out / "rtstruct.dcm", patient)
    assert name == "GTV_AI" and read.sum() == 90
    assert "cd" * 32 in pydicom.dcmread(out / "rtstruct.dcm").StructureSetDescription  # from the manifest
    assert np.asarray(nib.load(out / "mask.nii.gz").dataobj).sum() == 90
    export_mask(lesions, patient["dicom"], out, "rtstruct", roi_name="Target")
    grid = sitk.ReadImage(patient["case"]["ct"])
    assert set(read_contours(out / "rtstruct.dcm", grid)) == {"Target_1", "Target_2"}
    assert not (out / "seg.dcm").exists()  # it held another choice


def test_the_model_is_named_only_for_its_own_mask(tmp_path, patient):
    def roi(mask, **settings):
        export_mask(mask, patient["dicom"], tmp_path / "export", "rtstruct", **settings)
        dataset = pydicom.dcmread(tmp_path / "export" / "rtstruct.dcm")
        (item,) = dataset.StructureSetROISequence
        return item.ROIName, item.ROIGenerationAlgorithm, "Test model" in dataset.StructureSetDescription

    write_case(tmp_path / "out", patient, export=["nifti"])
    pred = tmp_path / "out" / "P1" / "pred.nii.gz"
    assert roi(pred) == ("GTV_AI", "AUTOMATIC", True)
    assert roi(pred, algorithm="SEMIAUTOMATIC") == ("GTV_AI", "SEMIAUTOMATIC", True)
    drawn = pred.with_name("drawn.nii.gz")
    drawn.write_bytes(pred.read_bytes())
    assert roi(drawn) == ("TARGET", "MANUAL", False)
    pred.with_name("manifest.json").unlink()
    assert roi(pred) == ("TARGET", "MANUAL", False)


@pytest.mark.parametrize(("kind", "name"), [("gtv", "GTV"), ("igtv", "IGTV"), (None, "TARGET")])
def test_an_imported_label_is_called_what_it_is(tmp_path, patient, monkeypatch, caplog, kind, name):
    """A planning system must not read IGTV where somebody drew a GTV, or nobody said which it is."""
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "case" / "label.nii.gz")
    monkeypatch.setattr("igtv.dicom.exporting.read_case", lambda folder: {"label_kind": kind} if kind else None)
    export_mask(tmp_path / "case" / "label.nii.gz", patient["dicom"], tmp_path / "out", "rtstruct")
    assert contours(tmp_path / "out" / "rtstruct.dcm", patient)[0] == name
    assert ("whether label.nii.gz is a GTV or an IGTV" in caplog.text) == (kind is None)


def test_a_corrected_mask_does_not_pass_for_the_networks_own(tmp_path, patient, caplog):
    def algorithm(name, **settings):
        caplog.clear()
        export_mask(folder / name, patient["dicom"], tmp_path / "export", "rtstruct", **settings)
        dataset = pydicom.dcmread(tmp_path / "export" / "rtstruct.dcm")
        return {item.ROIGenerationAlgorithm for item in dataset.StructureSetROISequence}

    write_case(tmp_path / "out", patient, export=["nifti"])
    folder = tmp_path / "out" / "P1"
    assert algorithm("pred.nii.gz") == algorithm("lesions.nii.gz") == {"AUTOMATIC"}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for name in ("pred.nii.gz", "lesions.nii.gz"):
        image = nib.load(folder / name)
        values = np.array(image.dataobj)
        values[5, 8, 0] = 0
        nib.save(nib.Nifti1Image(values, image.affine), folder / name)
        assert algorithm(name) == {"SEMIAUTOMATIC"} and f"{name} is not the file that the manifest" in caplog.text
    assert algorithm("pred.nii.gz", algorithm="AUTOMATIC") == {"AUTOMATIC"}
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({key: manifest[key] for key in manifest if key != "masks"}))
    assert algorithm("pred.nii.gz") == {"AUTOMATIC"}  # of a version that did not note the hashes


def test_a_mask_of_another_patient_is_refused(tmp_path, patient, write_ct):
    """By the CT beside it where the grids agree, else by the grid."""
    mask = tmp_path / "case" / "label.nii.gz"
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), mask)
    other = write_ct(tmp_path / "other", RescaleIntercept=25)
    with pytest.raises(DicomError, match="is not the CT that was segmented: 100 % of the voxels"):
        export_mask(mask, other, tmp_path / "out")
    larger = write_ct(tmp_path / "larger", size=(48, 48, 12))
    with pytest.raises(DicomError, match="the only CT of reference_dicom.*not on the grid.*--ct_series"):
        export_mask(mask, larger, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_mask(mask, larger, tmp_path / "out", "rtstruct", ct_series="CT")
    assert export_mask(mask, patient["dicom"], tmp_path / "out", "rtstruct")


def test_the_average_of_a_4d_ct_may_go_to_one_of_its_phases(tmp_path, patient, references, monkeypatch):
    mask = tmp_path / "case" / "label.nii.gz"
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), mask)
    average = sitk.ReadImage(patient["case"]["ct"])
    sitk.WriteImage(average + 25, patient["case"]["ct"])
    uid = str(pydicom.dcmread(next(patient["dicom"].iterdir())).SeriesInstanceUID)
    phases = [{"series_uid": uid}, {"series_uid": "1.2.3"}]
    monkeypatch.setattr("igtv.dicom.exporting.read_case", lambda folder: {"source": {"ct": phases}})
    assert export_mask(mask, patient["dicom"], tmp_path / "out", "rtstruct", ct_series=uid)
    monkeypatch.setattr("igtv.dicom.exporting.read_case", lambda folder: {"source": {"ct": phases[:1]}})
    with pytest.raises(DicomError, match="is not the CT that was segmented"):
        export_mask(mask, patient["dicom"], tmp_path / "out", "rtstruct", ct_series=uid)


def test_a_ct_of_another_frame_of_reference_than_the_cases_is_refused(tmp_path, patient, write_ct, monkeypatch):
    """Whatever --ct_series names; the very same CT under new UIDs is the same scan."""
    mask = tmp_path / "case" / "label.nii.gz"
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), mask)
    facts = {"source": {"ct": [{"series_uid": "1.2.3", "frame_of_reference_uid": "1.2.3.4"}]}}
    monkeypatch.setattr("igtv.dicom.exporting.read_case", lambda folder: facts)
    taller = write_ct(tmp_path / "taller", size=(40, 36, 10))
    frame = pydicom.dcmread(next(taller.iterdir())).FrameOfReferenceUID
    with pytest.raises(DicomError, match=f"frame of reference {frame}, .* in 1.2.3.4, .*--reference_dicom"):
        export_mask(mask, taller, tmp_path / "out", ct_series="CT")
    assert not (tmp_path / "out").exists()
    assert export_mask(mask, patient["dicom"], tmp_path / "out", "rtstruct")  # de-identified: other UIDs, same voxels
    facts["source"]["ct"][0]["frame_of_reference_uid"] = str(frame)
    assert export_mask(mask, taller, tmp_path / "out", "rtstruct", ct_series="CT")


@pytest.mark.parametrize("name", ["rtstruct.dcm", "seg.dcm"])
def test_files_of_the_clinic_are_not_replaced(tmp_path, patient, name):
    folder = tmp_path / "out" / "P1"
    folder.mkdir(parents=True)
    shutil.copy(next(patient["dicom"].iterdir()), folder / name)  # its manufacturer is another
    before = (folder / name).read_bytes()
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "mine.nii.gz")
    with pytest.raises(FileExistsError, match=f"{name} in the output folder was not written by this program"):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], folder, "rtstruct")
    assert [file.name for file in folder.iterdir()] == [name]
    _, row = write_case(tmp_path / "out", patient, export=["rtstruct"])
    assert "was not written by this program" in row["not_exported"]
    write_case(tmp_path / "out", patient, export=["nifti"])
    assert (folder / name).read_bytes() == before


def test_an_old_mask_does_not_stay_beside_new_contours(tmp_path, patient):
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "mine.nii.gz")
    folder = tmp_path / "out" / "P1"
    for formats in ("nifti", "rtstruct"):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], folder, ["nifti", "rtstruct"])
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], folder, formats)
        assert (folder / "mask.nii.gz").exists() == (formats == "nifti")
    export_mask(tmp_path / "mine.nii.gz", patient["dicom"], folder, "nifti")
    write_case(tmp_path / "out", patient, export=["rtstruct"])
    assert not (folder / "mask.nii.gz").exists()


@pytest.mark.parametrize("edited", [False, True])
def test_a_mask_of_other_origin_is_not_replaced(tmp_path, patient, edited):
    """One that this program wrote is of other origin once somebody has changed it."""
    image = nib.Nifti1Image(patient["mask"], patient["affine"])
    nib.save(image, tmp_path / "mine.nii.gz")
    out = tmp_path / "out"
    out.mkdir()
    if edited:
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], out, ["nifti"])
    nib.save(image, out / "mask.nii.gz")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(FileExistsError, match="mask.nii.gz in the output folder was not written by this program"):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], out, ["nifti", "rtstruct"])
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    export_mask(tmp_path / "mine.nii.gz", patient["dicom"], out, "rtstruct")
    assert (out / "mask.nii.gz").read_bytes() == before["mask.nii.gz"]


def test_an_earlier_export_stays_until_the_new_one_is_complete(tmp_path, patient):
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "mine.nii.gz")
    out = tmp_path / "out"
    export_mask(tmp_path / "mine.nii.gz", patient["dicom"], out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ValueError, match="roi_type is 'TUMOUR'"):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], out, roi_type="TUMOUR")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_no_input_is_written_over(tmp_path, patient):
    mask = tmp_path / "out" / "mask.nii.gz"
    mask.parent.mkdir()
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), mask)
    with pytest.raises(FileExistsError, match="mask.nii.gz would be written over"):
        export_mask(mask, patient["dicom"], mask.parent, "nifti")
    for inside in (patient["dicom"], patient["dicom"] / "new" / "folder"):
        with pytest.raises(ValueError, match="lies in reference_dicom"):
            export_mask(mask, patient["dicom"], inside)


def test_parts_of_a_binary_mask_can_be_chosen(tmp_path, patient):
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "mine.nii.gz")
    for lesions, voxels in (("all", 630), ("largest", 540), ("2", 90)):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], tmp_path / "out", "rtstruct", lesions=lesions)
        name, read = contours(tmp_path / "out" / "rtstruct.dcm", patient)
        assert (name, read.sum()) == ("TARGET", voxels)
    assert "unknown origin" in pydicom.dcmread(tmp_path / "out" / "rtstruct.dcm").StructureSetDescription


def test_the_largest_is_the_one_of_most_voxels_whatever_its_number(tmp_path, patient):
    """Somebody else's map may number its parts as it likes."""
    numbered = patient["mask"] * 7
    numbered[25:30] = patient["mask"][25:30] * 3  # 90 voxels under the lower number, 540 under 7
    nib.save(nib.Nifti1Image(numbered, patient["affine"]), tmp_path / "mine.nii.gz")
    for lesions, voxels in (("largest", 540), (7, 540), (3, 90)):
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], tmp_path / "out", "rtstruct", lesions=lesions)
        assert contours(tmp_path / "out" / "rtstruct.dcm", patient)[1].sum() == voxels


def test_empty_mask_stays_nifti_and_the_refusal_is_told(tmp_path, patient):
    patient["pred"] = patient["pred"] * 0
    writer, row = write_case(tmp_path / "out", patient, export=["nifti", "rtstruct"])
    folder = tmp_path / "out" / "P1"
    assert "the mask is empty" in row["not_exported"] and "the mask is empty" in writer.failures["P1"]
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "pred.nii.gz"]
    with pytest.raises(DicomError, match="the mask is empty.*no DICOM object is written"):
        export_mask(folder / "pred.nii.gz", patient["dicom"], tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_an_old_contour_does_not_stay_beside_a_refusal(tmp_path, patient):
    write_case(tmp_path / "out", patient, export=["rtstruct"])
    assert (tmp_path / "out" / "P1" / "rtstruct.dcm").exists()
    patient["pred"] = patient["pred"] * 0
    write_case(tmp_path / "out", patient, export=["rtstruct"])
    assert not (tmp_path / "out" / "P1" / "rtstruct.dcm").exists()


def test_a_ct_of_another_scan_on_the_same_grid_is_refused(tmp_path, patient):
    image = sitk.ReadImage(patient["case"]["ct"])
    sitk.WriteImage(image + 25, patient["case"]["ct"])
    writer, row = write_case(tmp_path / "out", patient, export=["rtstruct"])
    assert "is not the CT that was segmented: 100 % of the voxels" in row["not_exported"]
    assert str(tmp_path) not in writer.failures["P1"]


def test_fractional_segmentation_of_a_case(tmp_path, patient):
    write_case(tmp_path / "out", patient, export=["dicomseg"], segmentation_type="fractional")
    assert (tmp_path / "out" / "P1" / "probability.nii.gz").exists()
    dataset = pydicom.dcmread(tmp_path / "out" / "P1" / "seg.dcm")
    assert dataset.SegmentationType == "FRACTIONAL" and dataset.pixel_array.max() == round(0.8 * 255)


def test_a_fractional_segmentation_leaves_out_other_lesions(patient):
    """0 where the network found what was not chosen; its lower values stay."""
    whole = np.where(patient["mask"], 0.8, 0.3).astype(np.float32)
    chosen = patient["mask"].copy()
    chosen[25:30] = 0
    expected = np.where(chosen, whole, np.where(patient["mask"], 0, np.float32(0.3)))
    images = [sitk.GetImageFromArray(values.transpose()) for values in (whole, chosen)]
    for image in images:
        image.SetOrigin((10, -20, 30))
    cleared = without_other_lesions(*images)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(cleared).transpose(), expected)
    assert cleared.GetOrigin() == (10, -20, 30)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"export": ["rtstruct", "pdf"], "reference_dicom": "."}, "export names pdf; possible are nifti, rtstruct"),
        ({"export": ["rtstruct"]}, "rtstruct, which refer to the CT's DICOM files: give their folder"),
        ({"export": [], "reference_dicom": "."}, "export names nothing"),
        ({"segmentation_type": "soft"}, "segmentation_type is 'soft'"),
        ({"roi_name": "a\\b"}, "plain ASCII"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(settings, message):
    with pytest.raises(ValueError, match=message):
        DicomExport(**settings)


def test_wrong_masks_are_refused(tmp_path, patient):
    def export(values, **settings):
        nib.save(nib.Nifti1Image(values, patient["affine"]), tmp_path / "mine.nii.gz")
        export_mask(tmp_path / "mine.nii.gz", patient["dicom"], tmp_path / "out", **settings)

    with pytest.raises(DicomError, match="must hold whole numbers"):
        export(patient["mask"].astype(np.float32) * 0.7)
    with pytest.raises(DicomError, match="one 3-D volume"):
        export(np.stack([patient["mask"]] * 2, axis=-1))
    with pytest.raises(ValueError, match="needs probability"):
        export(patient["mask"], segmentation_type="fractional")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        export_mask(tmp_path / "nothing.nii.gz", patient["dicom"], tmp_path / "out")
    with pytest.raises(ValueError, match="reference_dicom is missing"):
        export_mask(tmp_path / "mine.nii.gz", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb_writes_what_its_settings_say(tmp_path, patient, bundle_dir):
    nib.save(nib.Nifti1Image(patient["mask"], patient["affine"]), tmp_path / "mine.nii.gz")
    run(
        "exporting",
        config_file=str(bundle_dir / "configs" / "export.json"),
        mask=str(tmp_path / "mine.nii.gz"),
        reference_dicom=str(patient["dicom"]),
        output_dir=str(tmp_path / "out"),
        algorithm="SEMIAUTOMATIC",
    )
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["export.json", "rtstruct.dcm", "seg.dcm"]
    (roi,) = pydicom.dcmread(tmp_path / "out" / "rtstruct.dcm").StructureSetROISequence
    assert (roi.ROIName, roi.ROIGenerationAlgorithm) == ("TARGET", "SEMIAUTOMATIC")
    assert str(tmp_path) not in (tmp_path / "out" / "export.json").read_text()
