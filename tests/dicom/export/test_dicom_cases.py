"""From a DICOM folder through the importer to cases, and their masks back to the very series they came from."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from igtv.data.datalist import read_datalist
from igtv.inference.case_writer import CaseWriter
from igtv.inference.dicom_cases import DicomCases, import_cases
from igtv.inference.dicom_export import DicomExport
from igtv.inference.input_cases import find_cases
from monai.data import MetaTensor
from pydicom.uid import PositronEmissionTomographyImageStorage, generate_uid

PET = {
    "Modality": "PT",
    "SOPClassUID": PositronEmissionTomographyImageStorage,
    "Units": "GML",
    "CorrectedImage": ["ATTN", "DECY"],
    "RescaleSlope": 0.01,
    "RescaleIntercept": 8,  # SUV 0 where the CT has air, 8.4 in tissue
    "PatientWeight": 70,
}


@pytest.fixture(scope="module")
def dicom_dir(tmp_path_factory, write_ct):
    """Two patients with CT and PET, one with a CT alone, all in one folder."""
    folder = tmp_path_factory.mktemp("archive")
    for patient in ("A1", "B2", "C3"):
        shared = {word: generate_uid(prefix=None) for word in ("StudyInstanceUID", "FrameOfReferenceUID")}
        shared |= {"PatientID": patient, "SeriesDescription": f"scan of {patient}"}
        write_ct(folder / patient / "ct", RescaleIntercept={"A1": 0, "B2": 7, "C3": 0}[patient], **shared)
        if patient != "C3":
            write_ct(folder / patient / "pt", **{**shared, **PET})
    return folder


@pytest.fixture(scope="module")
def imported(dicom_dir, tmp_path_factory):
    return import_cases(dicom_dir, tmp_path_factory.mktemp("results"))


def test_every_patient_with_ct_and_pet_is_a_case(imported):
    cases = find_cases(imported=imported)
    assert [case["case"] for case in cases] == ["A1", "B2"]
    assert imported.left_out == {"C3": "no PET: CT and PET are needed together"}
    by_uid = {one.series_uid: one for one in imported.series}
    for case in cases:
        assert by_uid[case["ct_series_uid"]].patient_id == case["case"]
        assert np.asarray(nib.load(case["pet"]).dataobj).max() == pytest.approx(8.48)


def test_masks_go_back_to_their_own_series(imported, tmp_path):
    """Both CTs share a grid; each mask finds its patient."""
    cases = find_cases(imported=imported)
    export = DicomExport(["rtstruct", "dicomseg"], imported=imported)
    writer = CaseWriter(tmp_path, cases, ("mask",), progress=False, dicom_export=export, left_out=imported.left_out)
    for case in cases:
        image = nib.load(case["ct"])
        mask = torch.zeros(1, *image.shape)
        mask[0, 5:12, 6:14, 2:7] = 1
        writer.write(case["case"], {"pred": MetaTensor(mask, affine=torch.from_numpy(image.affine))})
        dataset = pydicom.dcmread(tmp_path / case["case"] / "rtstruct.dcm")
        assert dataset.PatientID == case["case"]
        (study,) = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
        (series,) = study.RTReferencedSeriesSequence
        assert series.SeriesInstanceUID == case["ct_series_uid"]
        assert pydicom.dcmread(tmp_path / case["case"] / "seg.dcm").PatientID == case["case"]


def test_an_imported_datalist_remembers_the_series(imported, dicom_dir, tmp_path):
    """Segmented later from the datalist: the DICOM folder is named, the series is known."""
    first = find_cases(imported=imported)[0]
    datalist = Path(first["ct"]).parents[1] / "dataset.json"
    items = read_datalist(datalist).testing
    assert [item.ct_series_uid for item in items] == [case["ct_series_uid"] for case in imported.cases]
    cases = find_cases(datalist=datalist)
    export = DicomExport("rtstruct", reference_dicom=dicom_dir)
    image = nib.load(cases[1]["ct"])
    mask = torch.ones(1, *image.shape)
    writer = CaseWriter(tmp_path, cases, ("mask",), progress=False, dicom_export=export)
    writer.write("B2", {"pred": MetaTensor(mask, affine=torch.from_numpy(image.affine))})
    assert pydicom.dcmread(tmp_path / "B2" / "rtstruct.dcm").PatientID == "B2"


def test_a_ct_of_several_series_has_no_series_to_refer_to(imported, tmp_path):
    case = {key: value for key, value in imported.cases[0].items() if key != "ct_series_uid"}
    export = DicomExport("rtstruct", imported=imported)
    writer = CaseWriter(tmp_path, [case], ("mask",), progress=False, dicom_export=export)
    image = nib.load(case["ct"])
    row = writer.write("A1", {"pred": MetaTensor(torch.ones(1, *image.shape), affine=torch.from_numpy(image.affine))})
    assert "made of several series" in row["not_exported"] and (tmp_path / "A1" / "pred.nii.gz").is_file()


def test_another_folder_into_the_same_results(imported, dicom_dir, tmp_path):
    """Only the patients of the folder given are segmented, whatever lies there from before."""
    import_cases(dicom_dir / "A1", tmp_path)
    again = import_cases(dicom_dir / "B2", tmp_path)
    assert [case["case"] for case in again.cases] == ["B2"]


def test_a_target_ct_may_lie_in_another_folder(dicom_dir, write_ct, tmp_path):
    """The case is made on it, and contours go back to it."""
    header = pydicom.dcmread(next((dicom_dir / "A1" / "ct").iterdir()), stop_before_pixels=True)
    shared = {word: header[word].value for word in ("StudyInstanceUID", "FrameOfReferenceUID")}
    write_ct(tmp_path / "planning", PatientID="A1", SeriesDescription="Planning", **shared)
    found = import_cases(dicom_dir / "A1", tmp_path / "out", target_ct=str(tmp_path / "planning"))
    (case,) = found.cases
    planning = pydicom.dcmread(next((tmp_path / "planning").iterdir()), stop_before_pixels=True)
    assert case["ct_series_uid"] == planning.SeriesInstanceUID in {one.series_uid for one in found.series}


@pytest.fixture(scope="module")
def phases_in_one_series(tmp_path_factory, write_ct):
    """A 4D-CT whose five phases share one series UID, and its PET; phase k is 10 k HU brighter."""
    folder = tmp_path_factory.mktemp("four_d")
    shared = {word: generate_uid(prefix=None) for word in ("StudyInstanceUID", "FrameOfReferenceUID")}
    shared["PatientID"] = "F1"
    uid = generate_uid(prefix=None)
    for number in range(5):
        write_ct(
            folder / f"phase{number}", SeriesInstanceUID=uid, SeriesDescription="4D thorax",
            RescaleIntercept=10 * number, TemporalPositionIdentifier=number + 1, ImageComments=f"{20 * number}%",
            **shared,
        )  # fmt: skip
    write_ct(folder / "pt", **{**shared, **PET})
    return folder


def test_a_phase_that_shares_its_series_finds_its_own_images(phases_in_one_series, tmp_path):
    imported = import_cases(phases_in_one_series, tmp_path / "out", target_ct="40%")
    images = {str(pydicom.dcmread(file).SOPInstanceUID) for file in (phases_in_one_series / "phase2").iterdir()}
    datalist = Path(imported.cases[0]["ct"]).parents[1] / "dataset.json"
    listed = DicomExport("rtstruct", reference_dicom=phases_in_one_series)
    alone = DicomExport("rtstruct", reference_dicom=phases_in_one_series / "phase2")  # where nothing needs a part
    for export, case in (
        (DicomExport("rtstruct", imported=imported), imported.cases[0]),
        (listed, find_cases(datalist=datalist)[0]),
        (alone, find_cases(datalist=datalist)[0]),
    ):
        image = nib.load(case["ct"])
        mask = MetaTensor(torch.ones(1, *image.shape), affine=torch.from_numpy(image.affine))
        writer = CaseWriter(tmp_path / "masks", [case], ("mask",), progress=False, dicom_export=export)
        row = writer.write("F1", {"pred": mask})
        assert row.get("exported") == ["rtstruct.dcm"], row
        dataset = pydicom.dcmread(tmp_path / "masks" / "F1" / "rtstruct.dcm")
        (study,) = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
        (series,) = study.RTReferencedSeriesSequence
        assert {str(one.ReferencedSOPInstanceUID) for one in series.ContourImageSequence} == images


def test_nothing_to_segment_says_why(dicom_dir, tmp_path):
    assert import_cases(None, tmp_path) == DicomCases()
    with pytest.raises(FileNotFoundError, match="No case with CT and PET in dicom_dir. C3: no PET"):
        find_cases(imported=import_cases(dicom_dir / "C3", tmp_path))


def test_choices_of_the_importer_are_passed_on(dicom_dir, tmp_path, bundle_dir):
    assert [case["case"] for case in import_cases(dicom_dir, tmp_path / "a", exclude_series="scan of B2").cases] == [
        "A1"
    ]
    hashed = import_cases(dicom_dir / "A1", tmp_path / "b", case_names="hash").cases
    assert len(hashed) == 1 and hashed[0]["case"] != "A1"
    config = json.loads((bundle_dir / "configs" / "inference.json").read_text())
    importing = json.loads((bundle_dir / "configs" / "import_dicom.json").read_text())
    for key in ("exclude_series", "reg_series", "allow_missing_phases", "least_bone_dice", "case_names"):
        assert config["dicom_cases"][key] == f"@{key}" and config[key] == importing[key]
