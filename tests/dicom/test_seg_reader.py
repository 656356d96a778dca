"""DICOM SEG in: frames in any order, binary, fractional and label maps, other grids, what cannot be one mask."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.seg_reader import list_segments, read_segmentation
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

FRAME = generate_uid()
LABEL_MAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"
SHAPE = (9, 24, 20)  # slices, rows, columns
SPACING = (1.5, 1.2, 3.0)
TILT = np.radians(12)
DIRECTIONS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "oblique": np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]]),
}


def ct_headers(direction):
    headers = []
    study, series = generate_uid(), generate_uid()
    for index in range(SHAPE[0]):
        header = pydicom.Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, generate_uid()
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, FRAME
        header.Modality, header.PatientID, header.PatientName = "CT", "P1", "Doe^Jane"
        for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
                        "ReferringPhysicianName"):  # fmt: skip
            setattr(header, keyword, "")
        header.Rows, header.Columns, header.InstanceNumber = SHAPE[1], SHAPE[2], index + 1
        header.PixelSpacing, header.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        header.ImageOrientationPatient = [float(x) for x in (*direction[:, 0], *direction[:, 1])]
        header.ImagePositionPatient = [round(float(x), 6) for x in direction @ (0, 0, SPACING[2] * index) + (5, 6, 7)]
        headers.append(header)
    return headers


def grid(direction):
    image = sitk.Image(SHAPE[::-1], sitk.sitkInt16)
    image.SetSpacing(SPACING)
    image.SetOrigin((5.0, 6.0, 7.0))
    image.SetDirection(direction.ravel().tolist())
    return image


def description(number, label):
    return hd.seg.SegmentDescription(
        number,
        label,
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Neoplasm,
        hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def write_seg(path, frames, labels, direction=None, kind="BINARY", change=None):
    """`frames` (slices, rows, columns, segments)."""
    dataset = hd.seg.Segmentation(
        source_images=ct_headers(DIRECTIONS["axial"] if direction is None else direction),
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=[description(n, label) for n, label in enumerate(labels, start=1)],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
    if change is not None:
        change(dataset)
    dataset.save_as(path)
    return path


@pytest.fixture
def masks():
    frames = np.zeros((*SHAPE, 2), np.uint8)
    frames[2:6, 5:15, 4:9, 0] = 1
    frames[6, 8, 9, 1] = 1
    frames[8, 20:, 12:, 1] = 1
    return frames


@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_voxel_back(tmp_path, masks, name):
    direction = DIRECTIONS[name]
    path = write_seg(tmp_path / "seg.dcm", masks, ["IGTV", "nodes"], direction)
    found = read_segmentation(path, grid(direction))
    assert list(found) == ["IGTV", "nodes"] == list_segments(path)
    for number, mask in enumerate(found.values()):
        assert mask.GetPixelID() == sitk.sitkUInt8 and mask.GetOrigin() == (5.0, 6.0, 7.0)
        assert (sitk.GetArrayFromImage(mask) == masks[..., number]).all()


def test_frames_in_any_order(tmp_path, masks):
    def shuffle(dataset):
        order = np.random.default_rng(0).permutation(int(dataset.NumberOfFrames))
        pixels = dataset.pixel_array[order]
        dataset.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
        groups = list(dataset.PerFrameFunctionalGroupsSequence)
        dataset.PerFrameFunctionalGroupsSequence = [groups[k] for k in order]

    found = read_segmentation(write_seg(tmp_path / "s.dcm", masks, ["a", "b"], change=shuffle), grid(np.eye(3)))
    assert (sitk.GetArrayFromImage(found["a"]) == masks[..., 0]).all()
    assert (sitk.GetArrayFromImage(found["b"]) == masks[..., 1]).all()


def test_sparse_frames_keep_their_thickness(tmp_path):
    """Only slices 1 and 7 are stored: the slices between and beside them stay empty."""
    frames = np.zeros((*SHAPE, 1), np.uint8)
    frames[[1, 7], 5:15, 4:9] = 1
    reference = sitk.Resample(
        grid(np.eye(3)), (20, 24, 27), sitk.Transform(), sitk.sitkLinear, (5.0, 6.0, 6.0), (1.5, 1.2, 1.0)
    )
    found = read_segmentation(write_seg(tmp_path / "s.dcm", frames, ["IGTV"]), reference)["IGTV"]
    assert sitk.GetArrayFromImage(found).any(axis=(1, 2)).nonzero()[0].tolist() == [3, 4, 5, 21, 22, 23]


def test_fraction_counts_from_one_half(tmp_path):
    frames = np.zeros((*SHAPE, 1))
    frames[3, 5:15, 4:9] = 0.7
    frames[4, 5:15, 4:9] = 0.3
    path = write_seg(tmp_path / "s.dcm", frames, ["IGTV"], kind="FRACTIONAL")
    assert sitk.GetArrayFromImage(read_segmentation(path, grid(np.eye(3)))["IGTV"]).sum() == 50


def as_label_map(masks, numbers, background, bits=8):
    """`change` for `write_seg`: the object of supplement 243, a frame per slice with the segments' numbers.

    Its numbers need neither begin with 1 nor be without gaps, every value of the pixels is described, that of the
    background too, and a frame belongs to no segment.
    """

    def change(dataset):
        values = np.full(SHAPE, background, f"<u{bits // 8}")
        for k, number in enumerate(numbers):
            values[masks[..., k] > 0] = number
            dataset.SegmentSequence[k].SegmentNumber = number
        dataset.SegmentSequence.insert(0, description(1, "Background"))
        dataset.SegmentSequence[0].SegmentNumber = dataset.PixelPaddingValue = background
        order = np.random.default_rng(0).permutation(SHAPE[0])
        items = []
        for k in order:
            item, position = pydicom.Dataset(), pydicom.Dataset()
            position.ImagePositionPatient = [5, 6, 7 + 3 * int(k)]
            item.PlanePositionSequence = [position]
            items.append(item)
        dataset.PerFrameFunctionalGroupsSequence = items
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = LABEL_MAP_CLASS
        dataset.SegmentationType, dataset.SegmentsOverlap = "LABELMAP", "NO"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
        dataset.NumberOfFrames = SHAPE[0]
        dataset.PixelData = values[order].tobytes()

    return change


@pytest.mark.parametrize(("background", "bits"), [(0, 8), (255, 8), (0, 16)])
def test_every_voxel_of_a_label_map_and_no_background(tmp_path, masks, background, bits):
    masks[3, 20:, 12:, 1] = 1  # both segments in one frame
    change = as_label_map(masks, (7, 2), background, bits)
    path = write_seg(tmp_path / "s.dcm", masks, ["IGTV", "nodes"], change=change)
    found = read_segmentation(path, grid(np.eye(3)))
    assert list(found) == ["IGTV", "nodes"] == list_segments(path)
    assert (sitk.GetArrayFromImage(found["IGTV"]) == masks[..., 0]).all()
    assert (sitk.GetArrayFromImage(found["nodes"]) == masks[..., 1]).all()


def test_a_label_map_that_names_no_background_has_it_at_zero(tmp_path, masks):
    def change(dataset):
        as_label_map(masks, (1, 2), 0)(dataset)
        del dataset.PixelPaddingValue

    path = write_seg(tmp_path / "s.dcm", masks, ["IGTV", "nodes"], change=change)
    assert list(read_segmentation(path, grid(np.eye(3)))) == ["IGTV", "nodes"]


def test_segments_of_one_label_and_empty_ones(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks, ["IGTV", "IGTV"])
    assert list(read_segmentation(path, grid(np.eye(3)))) == ["IGTV (number 1)", "IGTV (number 2)"]
    masks[..., 1] = 0
    path = write_seg(tmp_path / "e.dcm", masks, ["IGTV", "none"])
    assert list(read_segmentation(path, grid(np.eye(3)))) == ["IGTV"]


def test_other_frame_of_reference_and_other_place(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks, ["a", "b"])
    with pytest.raises(DicomError, match="frame of reference"):
        read_segmentation(path, grid(np.eye(3)), frame_of_reference_uid="1.2.3")
    assert read_segmentation(path, grid(np.eye(3)), frame_of_reference_uid=FRAME)
    far = grid(np.eye(3))
    far.SetOrigin((500.0, 0.0, 0.0))
    with pytest.raises(DicomError, match="no segment has a voxel"):
        read_segmentation(path, far)


def _move(dataset, z):
    groups = dataset.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence[0].ImagePositionPatient = [5, 6, z]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: _move(d, 14.0), "evenly spaced"),
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), "positions of"),
        (lambda d: d.PerFrameFunctionalGroupsSequence[0].pop("PlanePositionSequence"), "PlanePositionS.* is missing"),
        (lambda d: d.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence"), "PixelMeasuresS.* is missing"),
        (lambda d: setattr(d, "SegmentationType", "X"), "SegmentationType"),
        (lambda d: setattr(d, "Modality", "CT"), "no DICOM SEG"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-40]), "decoded"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed_is_refused(tmp_path, masks, change, words):
    path = write_seg(tmp_path / "s.dcm", masks, ["a", "b"], change=change)
    with pytest.raises(DicomError, match=words):
        read_segmentation(path, grid(np.eye(3)))


def test_cut_off_anywhere(tmp_path, masks):
    content = write_seg(tmp_path / "whole.dcm", masks, ["a", "b"]).read_bytes()
    for share in np.linspace(0, 0.999, 60):
        (tmp_path / "cut.dcm").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DicomError, match=r"cut\.dcm"):
            read_segmentation(tmp_path / "cut.dcm", grid(np.eye(3)))


def test_what_ohif_exported_is_refused(tmp_path, masks):
    """Nothing in its file tells whether the slices are in reverse order."""

    def made_by_ohif(dataset):
        dataset.Manufacturer = dataset.ManufacturerModelName = "Unspecified"
        dataset.DeviceSerialNumber, dataset.SoftwareVersions = "1", "0"

    path = write_seg(tmp_path / "s.dcm", masks, ["a", "b"], change=made_by_ohif)
    with pytest.raises(DicomError, match="exported by OHIF.*reverse order.*annotation server"):
        read_segmentation(path, grid(np.eye(3)))
