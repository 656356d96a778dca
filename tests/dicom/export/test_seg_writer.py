"""DICOM SEG out: two readers find mask and probability again, the file is valid and coded as a neoplasm."""

import highdicom
import numpy as np
import pydicom
import pydicom_seg
import pytest
import SimpleITK as sitk
from igtv.dicom.contour_source import ContourSource
from igtv.dicom.errors import DicomError
from igtv.dicom.reference_series import read_reference
from igtv.dicom.rtstruct_writer import write_rtstruct
from igtv.dicom.seg_writer import write_segmentation
from igtv.dicom.series import load_series

SOURCE = ContourSource("AUTOMATIC", "Test model", "0.1.0", "ab" * 32)
ORIENTATIONS = [
    "identity", "flipped in x and y", "flipped in y, slices towards the feet", "turned in plane", "oblique", "coronal",
]  # fmt: skip


def by_pydicom_seg(path, reference, number=1):
    """Segment on the grid of the series, placed by the geometry that pydicom-seg reads."""
    image = pydicom_seg.SegmentReader().read(pydicom.dcmread(path)).segment_image(number)
    image = sitk.Resample(image, reference.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(image)


def by_highdicom(path, reference, number=1):
    """Segment frame by frame for the instances of the series."""
    segmentation = highdicom.seg.segread(path)
    instances = [header.SOPInstanceUID for header in reference.headers]
    frames = segmentation.get_pixels_by_source_instance(
        instances, segment_numbers=[number], assert_missing_frames_are_empty=True
    )
    return frames[..., 0]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_two_readers_find_the_mask(tmp_path, references, awkward_voxels, as_mask, orientation):
    reference = references[orientation]
    other = np.roll(awkward_voxels, 3, axis=2)
    masks = {"IGTV_AI_1": as_mask(awkward_voxels, reference), "IGTV_AI_2": as_mask(other, reference)}
    path = write_segmentation(tmp_path / "seg.dcm", masks, reference)
    for read in (by_pydicom_seg, by_highdicom):
        assert (read(path, reference) == awkward_voxels).all()
        assert (read(path, reference, 2) == other).all()


def test_it_is_valid_and_says_what_it_is(tmp_path, references, awkward_voxels, as_mask, new_errors):
    reference = references["oblique"]
    path = write_segmentation(
        tmp_path / "seg.dcm", {"IGTV_AI": as_mask(awkward_voxels, reference)}, reference, source=SOURCE
    )
    assert new_errors(path, reference) == set()
    dataset = pydicom.dcmread(path)
    (segment,) = dataset.SegmentSequence
    (category,), (kind,) = segment.SegmentedPropertyCategoryCodeSequence, segment.SegmentedPropertyTypeCodeSequence
    assert (category.CodeValue, kind.CodeValue, kind.CodeMeaning) == ("49755003", "108369006", "Neoplasm")
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("IGTV_AI", "AUTOMATIC")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Test model", "0.1.0")
    assert "ab" * 32 in algorithm.AlgorithmParameters
    assert dataset.FrameOfReferenceUID == reference.series.frame_of_reference_uid
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == reference.series.series_uid


def test_probability_is_fractional(tmp_path, references, awkward_voxels, as_mask, new_errors):
    reference = references["flipped in x and y"]
    random = np.random.default_rng(0).uniform(0.5, 1, awkward_voxels.shape)
    values = np.where(awkward_voxels, random, 1e-4).astype(np.float32)
    probability = sitk.GetImageFromArray(values)
    probability.CopyInformation(reference.grid)
    masks = {"IGTV_AI": as_mask(awkward_voxels, reference)}
    path = write_segmentation(tmp_path / "seg.dcm", masks, reference, probability=probability)
    assert new_errors(path, reference) == set()
    dataset = pydicom.dcmread(path)
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    np.testing.assert_allclose(by_highdicom(path, reference), np.where(awkward_voxels, values, 0), atol=0.51 / 255)
    turned = sitk.DICOMOrient(probability, "SLA")
    path = write_segmentation(tmp_path / "turned.dcm", masks, reference, probability=turned)
    np.testing.assert_allclose(by_highdicom(path, reference), np.where(awkward_voxels, values, 0), atol=0.51 / 255)


def test_what_cannot_be_is_refused(tmp_path, references, awkward_voxels, as_mask):
    reference = references["identity"]
    mask, empty = as_mask(awkward_voxels, reference), as_mask(awkward_voxels & False, reference)
    with pytest.raises(DicomError, match="segment IGTV_AI: the mask is empty"):
        write_segmentation(tmp_path / "seg.dcm", {"IGTV_AI": empty}, reference)
    probability = sitk.Cast(mask, sitk.sitkFloat32)
    with pytest.raises(ValueError, match="beyond"):
        write_segmentation(tmp_path / "seg.dcm", {"IGTV_AI": mask}, reference, probability=probability * 2)
    with pytest.raises(ValueError, match="one probability map, 2 masks"):
        write_segmentation(tmp_path / "seg.dcm", {"a": mask, "b": mask}, reference, probability=probability)
    with pytest.raises(DicomError, match="not on the grid"):
        write_segmentation(tmp_path / "seg.dcm", {"a": mask}, reference, probability=probability[:-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "characters, name, study",
    [
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "胸部 CT"),
        ("ISO_IR 192", "Müller^Jörg", "Thorax nüchtern"),
        ("ISO_IR 100", "Müller^Jörg", "Thorax nüchtern"),
        ("ISO_IR 144", "Иванов^Иван", "Грудь"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "胸部 CT"),
        ("", "Miller^Jo", "Thorax"),
    ],
)
def test_patient_and_study_are_read_as_the_ct_has_them(
    tmp_path, write_ct, awkward_voxels, as_mask, characters, name, study
):
    """And what is written here is plain text, which every character set holds."""
    attributes = {"SpecificCharacterSet": characters} if characters else {}
    folder = write_ct(tmp_path / "ct", **attributes, PatientName=name, StudyDescription=study)
    reference = read_reference(load_series(folder))
    masks = {"IGTV_AI [1]": as_mask(awkward_voxels, reference)}
    source = ContourSource("AUTOMATIC", "Modell für Lunge", "0.1.0")
    path = write_segmentation(tmp_path / "seg.dcm", masks, reference, source=source)
    dataset = pydicom.dcmread(path)
    dataset.decode()
    assert (str(dataset.PatientName), dataset.StudyDescription) == (name, study)
    assert dataset.SeriesDescription == "IGTV_AI [1], not approved"
    (segment,) = dataset.SegmentSequence
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (segment.SegmentLabel, algorithm.AlgorithmName) == ("IGTV_AI [1]", "Modell f?r Lunge")
    assert ("SpecificCharacterSet" in dataset) == bool(characters)


@pytest.mark.parametrize(
    "name, code", [("IGTV [1]", "IGTV _1"), ("2_GTV", "GTV"), ("123", "SEG"), ("A" * 15 + "_b", "A" * 15)]
)
def test_any_roi_name_makes_a_code(tmp_path, references, awkward_voxels, as_mask, name, code):
    reference = references["identity"]
    path = write_segmentation(tmp_path / "seg.dcm", {name: as_mask(awkward_voxels, reference)}, reference)
    dataset = pydicom.dcmread(path)
    assert (dataset.ContentLabel, dataset.SegmentSequence[0].SegmentLabel) == (code, name)


def test_names_with_umlauts_survive(tmp_path, write_ct, awkward_voxels, as_mask):
    """The object has a character set of its own."""
    folder = write_ct(tmp_path / "ct", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    reference = read_reference(load_series(folder))
    masks = {"IGTV_AI": as_mask(awkward_voxels, reference)}
    for path in (
        write_segmentation(tmp_path / "seg.dcm", masks, reference),
        write_rtstruct(tmp_path / "rs.dcm", masks, reference),
    ):
        assert str(pydicom.dcmread(path).PatientName) == "Müller^Jörg"
