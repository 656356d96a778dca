"""What our own network drew comes back from the PACS and does not become a label, unless a person stands behind it."""

import copy

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.contour_source import MANUFACTURER, ContourSource
from igtv.dicom.own_contours import unapproved_names
from igtv.dicom.reference_series import find_reference
from igtv.dicom.rtstruct_writer import write_rtstruct
from igtv.dicom.seg_writer import write_segmentation

DRAWN, PROPOSED = 27, 12  # voxels of the clinic's GTV, as `dicom.patient` draws it, and of the network's IGTV


def header(modality="RTSTRUCT", maker=MANUFACTURER, approval="UNAPPROVED", **parts):
    """Parts: name -> how it was drawn."""
    dataset = pydicom.Dataset()
    dataset.Modality, dataset.Manufacturer, dataset.ApprovalStatus = modality, maker, approval
    items = []
    for number, (name, algorithm) in enumerate(parts.items(), start=1):
        item = pydicom.Dataset()
        if modality == "SEG":
            item.SegmentNumber, item.SegmentLabel, item.SegmentAlgorithmType = number, name, algorithm
        else:
            item.ROINumber, item.ROIName, item.ROIGenerationAlgorithm = number, name, algorithm
        items.append(item)
    setattr(dataset, "SegmentSequence" if modality == "SEG" else "StructureSetROISequence", items)
    return dataset


@pytest.mark.parametrize("modality", ["RTSTRUCT", "SEG"])
def test_only_what_nobody_corrected_or_approved_is_named(modality):
    parts = {"IGTV_AI": "AUTOMATIC", "IGTV": "SEMIAUTOMATIC", "GTV": "MANUAL", "Lung": ""}
    assert unapproved_names(header(modality, **parts)) == ["IGTV_AI", "IGTV_AI (number 1)"]
    assert unapproved_names(header(modality, approval="REJECTED", IGTV_AI="AUTOMATIC"))
    assert unapproved_names(header(modality, approval="APPROVED", **parts)) == []
    assert unapproved_names(header(modality, maker="Somebody else", **parts)) == []


def test_other_objects_hold_none():
    assert unapproved_names(header("CT", IGTV_AI="AUTOMATIC")) == []
    assert unapproved_names(pydicom.Dataset()) == []


@pytest.fixture
def imported(dicom, run_import, log_of, tmp_path):
    """`imported(write, algorithm, clinic=True, **options)` -> voxels of the label (0 without) and the case's log.

    The network's IGTV_AI (12 voxels) lies beside the clinic's GTV (27 voxels).
    """

    def run(write, algorithm="AUTOMATIC", clinic=True, change=None, **options):
        folder, data = tmp_path / "dicom", tmp_path / "data"
        if not folder.exists():
            ct = dicom.patient(folder, label=clinic, frame="1.2.9")
            values = np.zeros(ct.GetSize()[::-1], np.uint8)
            values[2:4, 6:9, 6:8] = 1
            mask = sitk.GetImageFromArray(values)
            mask.CopyInformation(ct)
            source = ContourSource(algorithm, "Test model", "0.1.0", "ab" * 32)
            path = write(folder / "ours", {"IGTV_AI": mask}, find_reference(folder, mask), source=source)
            if change is not None:
                dataset = pydicom.dcmread(path)
                change(dataset)
                dataset.save_as(path)
        run_import(folder, data, **options)
        label = data / "P1" / "label.nii.gz"
        voxels = int(sitk.GetArrayFromImage(sitk.ReadImage(label)).sum()) if label.is_file() else 0
        return voxels, log_of(data)["P1"]

    return run


@pytest.mark.parametrize("write", [write_rtstruct, write_segmentation])
def test_the_physicians_gtv_is_the_label_beside_the_networks_igtv(write, imported):
    voxels, row = imported(write)
    assert (voxels, row["label_kind"]) == (DRAWN, "gtv")
    assert any("passed over, 'IGTV_AI' of " in words and "--label_series" in words for words in row["decisions"])


@pytest.mark.parametrize("write", [write_rtstruct, write_segmentation])
def test_the_networks_contour_alone_is_no_label(write, imported, tmp_path):
    voxels, row = imported(write, clinic=False)
    assert voxels == 0 and "label" not in row["source"]
    assert "no label: of RTSTRUCT and DICOM SEG, none is left" in row["decisions"]


@pytest.mark.parametrize("write", [write_rtstruct, write_segmentation])
@pytest.mark.parametrize("algorithm", ["SEMIAUTOMATIC", "MANUAL"])
def test_what_somebody_drew_counts_whoever_wrote_the_file(write, algorithm, imported):
    voxels, row = imported(write, algorithm)
    assert (voxels, row["label_kind"]) == (PROPOSED, "igtv")
    assert not any("passed over" in words for words in row["decisions"])


def approve(dataset):
    dataset.ApprovalStatus = "APPROVED"


def take_over(dataset):
    dataset.Manufacturer = "Planning system"


@pytest.mark.parametrize("change", [approve, take_over])
def test_a_physicians_approval_or_a_planning_systems_own_object_counts(change, imported):
    assert imported(write_rtstruct, change=change)[0] == PROPOSED


def add_a_drawn_roi(dataset):
    """A second ROI with the same contours, drawn by hand in a program that left the maker as it was."""
    roi, contour = copy.deepcopy((dataset.StructureSetROISequence[0], dataset.ROIContourSequence[0]))
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm, contour.ReferencedROINumber = 2, "IGTV", "MANUAL", 2
    dataset.StructureSetROISequence.append(roi)
    dataset.ROIContourSequence.append(contour)


def test_of_one_object_what_was_drawn_counts_alone(imported):
    _, row = imported(write_rtstruct, change=add_a_drawn_roi)
    assert row["source"]["label"][0]["roi"] == ["IGTV"] and row["label_kind"] == "igtv"


@pytest.mark.parametrize(
    "options", [{"roi": "IGTV_AI"}, {"roi": "igtv ai"}, {"roi": ["IGTV_AI"]}, {"label_series": "IGTV_AI"}]
)
def test_the_user_may_name_it(options, imported):
    assert imported(write_rtstruct, **options)[0] == PROPOSED


@pytest.mark.parametrize("options", [{"roi": "*GTV*"}, {"label_series": "t"}])
def test_a_wildcard_or_a_word_that_fits_all_names_nobody(options, imported):
    """`t` stands in both descriptions, "structures" and "IGTV_AI, not approved"."""
    assert imported(write_rtstruct, **options)[0] == DRAWN


def test_an_error_says_what_was_passed_over(imported):
    with pytest.raises(ValueError, match="no ROI is named 'Boost'.*passed over, 'IGTV_AI'"):
        imported(write_rtstruct, roi="Boost")
