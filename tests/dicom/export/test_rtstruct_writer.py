"""RTSTRUCT out: independent programs find the mask again, the file is valid DICOM and says what it is."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.contour_source import ContourSource
from igtv.dicom.errors import DicomError
from igtv.dicom.reference_series import find_reference, read_reference
from igtv.dicom.rtstruct_reader import read_contours
from igtv.dicom.rtstruct_writer import check_roi_name, number_text, write_rtstruct
from igtv.dicom.series import load_series

SOURCE = ContourSource("AUTOMATIC", "Test model", "0.1.0", "ab" * 32)
SIZE_TURNED = (9, 40, 36)
ORIENTATIONS = ["identity", "flipped in x and y", "flipped in y, slices towards the feet", "turned in plane"]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_plastimatch_reads_the_mask(
    tmp_path, references, awkward_voxels, as_mask, plastimatch_masks, dice, orientation
):
    reference = references[orientation]
    path = write_rtstruct(tmp_path / "rs.dcm", {"IGTV_AI": as_mask(awkward_voxels, reference)}, reference)
    (mask,) = plastimatch_masks(path, reference.grid).values()
    read = sitk.GetArrayFromImage(mask) > 0
    assert dice(read, awkward_voxels) >= 0.98
    assert (read.any(axis=(1, 2)) == awkward_voxels.any(axis=(1, 2))).all()  # every slice, both ends too


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, "oblique", "coronal"])
def test_any_geometry_keeps_every_voxel(
    tmp_path, references, awkward_voxels, as_mask, contours_filled, dice, orientation
):
    reference = references[orientation]
    path = write_rtstruct(tmp_path / "rs.dcm", {"IGTV_AI": as_mask(awkward_voxels, reference)}, reference)
    assert (contours_filled(path, reference)["IGTV_AI"] == awkward_voxels).all()
    own = read_contours(path, reference.grid)["IGTV_AI"]
    assert dice(sitk.GetArrayFromImage(own), awkward_voxels) >= 0.98


def test_planning_systems_find_what_they_ask_for(tmp_path, references, awkward_voxels, as_mask, new_errors):
    reference = references["identity"]
    masks = {"IGTV_AI_1": as_mask(awkward_voxels, reference)}
    masks["IGTV_AI_2"] = as_mask(np.roll(awkward_voxels, 1, axis=2), reference)
    path = write_rtstruct(tmp_path / "rs.dcm", masks, reference, source=SOURCE)
    assert new_errors(path, reference) == set()
    dataset, ct = pydicom.dcmread(path), {header.SOPInstanceUID: header for header in reference.headers}
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
    assert (dataset.Modality, dataset.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert dataset.StudyInstanceUID == reference.series.study_uid and dataset.PatientID == "T1"
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == reference.series.frame_of_reference_uid
    assert {image.ReferencedSOPInstanceUID for image in series.ContourImageSequence} == set(ct)
    rois = dataset.StructureSetROISequence
    assert [(roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm) for roi in rois] == [
        (1, "IGTV_AI_1", "AUTOMATIC"),
        (2, "IGTV_AI_2", "AUTOMATIC"),
    ]
    assert [item.RTROIInterpretedType for item in dataset.RTROIObservationsSequence] == ["GTV", "GTV"]
    colours = {tuple(item.ROIDisplayColor) for item in dataset.ROIContourSequence}
    assert len(colours) == 2
    for text in (dataset.StructureSetDescription, rois[0].ROIDescription):
        assert "Test model" in text and "0.1.0" in text and "ab" * 32 in text
    assert float(rois[0].ROIVolume) == pytest.approx(awkward_voxels.sum() * 1.25 * 1.25 * 2.5 / 1000, abs=1e-3)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            assert contour.NumberOfContourPoints * 3 == len(contour.ContourData) >= 9
            (image,) = contour.ContourImageSequence
            heights = {float(value) for value in contour.ContourData[2::3]}
            assert heights == {float(ct[image.ReferencedSOPInstanceUID].ImagePositionPatient[2])}
    raw = pydicom.dcmread(path)  # not yet turned into numbers
    texts = raw.ROIContourSequence[0].ContourSequence[0].get_item("ContourData").value.split(b"\\")
    assert max(len(text) for text in texts) <= 16


def test_a_real_ct_gets_no_error_of_its_own(tmp_path, shared_dir, new_errors, plastimatch_masks, as_mask, dice):
    """STS_002, whose study ID breaks a rule: its object breaks that one and no other."""
    reference = read_reference(load_series(shared_dir / "data" / "dicom" / "STS_002" / "CT" / "image"))
    columns, rows, slices = reference.grid.GetSize()
    z, y, x = np.indices((slices, rows, columns))
    voxels = ((x - 80) / 30) ** 2 + ((y - 70) / 40) ** 2 + ((z - 30) / 17.9) ** 2 <= 1  # to the last slice
    assert voxels[-1].any()
    path = write_rtstruct(tmp_path / "rs.dcm", {"IGTV_AI": as_mask(voxels, reference)}, reference, source=SOURCE)
    assert new_errors(path, reference) == set()
    assert dice(plastimatch_masks(path, reference.grid)["IGTV_AI"], voxels) >= 0.98


def test_empty_mask_is_refused_and_nothing_written(tmp_path, references, as_mask, awkward_voxels):
    reference = references["identity"]
    with pytest.raises(DicomError, match="ROI IGTV_AI: the mask is empty.*no DICOM object is written"):
        write_rtstruct(tmp_path / "rs.dcm", {"IGTV_AI": as_mask(awkward_voxels & False, reference)}, reference)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_another_patient_is_refused(tmp_path, references, as_mask, awkward_voxels):
    mask = as_mask(awkward_voxels, references["identity"])
    mask.SetOrigin((500.0, 0.0, 0.0))
    with pytest.raises(DicomError, match="100 % of the mask lies outside.*--reference_dicom"):
        write_rtstruct(tmp_path / "rs.dcm", {"IGTV_AI": mask}, references["identity"])


def test_nifti_axes_and_other_grids(tmp_path, references, as_mask, awkward_voxels, contours_filled, dice):
    """A mask with axes swapped and flipped has the same voxels; one on a finer grid nearly."""
    reference = references["flipped in x and y"]
    mask = as_mask(awkward_voxels, reference)
    turned = sitk.DICOMOrient(mask, "SLA")
    assert turned.GetSize() == SIZE_TURNED
    path = write_rtstruct(tmp_path / "turned.dcm", {"IGTV_AI": turned}, reference)
    assert (contours_filled(path, reference)["IGTV_AI"] == awkward_voxels).all()
    body = sitk.BinaryMorphologicalOpening(mask, (2, 2, 0))
    finer = sitk.Expand(body, (2, 2, 2), sitk.sitkNearestNeighbor)
    path = write_rtstruct(tmp_path / "finer.dcm", {"IGTV_AI": finer}, reference)
    assert dice(contours_filled(path, reference)["IGTV_AI"], sitk.GetArrayFromImage(body)) > 0.97


def test_the_series_of_the_mask_is_found_among_others(tmp_path, write_ct, references, as_mask, awkward_voxels):
    write_ct(tmp_path / "dicom" / "a", SeriesDescription="CT one")
    write_ct(tmp_path / "dicom" / "b", spacing_mm=(1.0, 1.0, 2.5), SeriesDescription="CT two")
    write_ct(tmp_path / "dicom" / "c", Modality="MR", SOPClassUID=pydicom.uid.MRImageStorage)
    mask = as_mask(awkward_voxels, references["identity"])
    assert find_reference(tmp_path / "dicom", mask).series.description == "CT one"
    assert find_reference(tmp_path / "dicom", mask, wanted="ct TWO").series.description == "CT two"
    mask.SetSpacing((3.0, 3.0, 3.0))
    with pytest.raises(
        DicomError, match='2 series the mask may belong to, and none.*choose one with --ct_series.*"CT '
    ):
        find_reference(tmp_path / "dicom", mask)
    with pytest.raises(DicomError, match="ct_series 'planning' fits none"):
        find_reference(tmp_path / "dicom", mask, wanted="planning")


@pytest.mark.parametrize("value", [0.0, -0.0000001, 123456.1234567, -99999.9999999, 1e-9, 512.5])
def test_numbers_fit_in_16_characters(value):
    text = number_text(value)
    assert len(text) <= 16 and "e" not in text and float(text) == pytest.approx(value, abs=1e-6)
    assert text != "-0"


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="16 characters"):
        number_text(-12345678901.2345678)
    with pytest.raises(ValueError, match="16 characters"):
        number_text(float("nan"))


@pytest.mark.parametrize("name", ["", "a\\b", "Tumor größer", "x" * 65, " GTV"])
def test_names_that_systems_cannot_show_are_refused(name):
    with pytest.raises(ValueError, match="plain ASCII"):
        check_roi_name(name)
    assert check_roi_name("IGTV_AI [1]") == "IGTV_AI [1]"
