"""Bits of pixels beside the values: cleared in uncompressed files, refused where they cannot be."""

import numpy as np
import pydicom
import pytest
from igtv.dicom.deidentification.deidentify import deidentify
from igtv.dicom.deidentification.identities import Identity
from igtv.dicom.deidentification.rules import deidentify_dataset
from igtv.dicom.deidentification.unused_bits import without_unused_bits
from igtv.dicom.errors import DicomError
from igtv.dicom.pixels import pixel_values
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

IDENTITY = Identity(b"secret", "P0001", -100)
CT = "1.2.840.10008.5.1.4.1.1.2"


def image(pixels, allocated=16, stored=12, high=None, signed=0, order="<", syntax=ExplicitVRLittleEndian):
    """A CT of one row."""
    dataset = pydicom.Dataset()
    dataset.is_little_endian, dataset.is_implicit_VR = order == "<", False
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CT, "1.2.3", "CT"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.PatientID = "1.2.3.4", "1.2.3.5", "4711"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 1, len(pixels), 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = allocated, stored, signed
    dataset.HighBit = stored - 1 if high is None else high
    dataset.PixelData = np.asarray(pixels, f"{order}u{allocated // 8}").tobytes()
    return dataset


def with_overlay(dataset, position=12, data=None, group=0x6000):
    """An overlay in the pixels' own bits; with data it has its own."""
    dataset.add_new((group, 0x0010), "US", 1)
    dataset.add_new((group, 0x0011), "US", dataset.Columns)
    dataset.add_new((group, 0x0102), "US", position)
    if data is not None:
        dataset.add_new((group, 0x3000), "OW", data)
    return dataset


@pytest.mark.parametrize(
    ("layout", "pixels", "expected"),
    [
        ({}, [0x1ABC, 0x0ABC, 0xFFFF], [0x0ABC, 0x0ABC, 0x0FFF]),
        ({"signed": 1}, [0x1ABC, 0x7123, 0xFABC], [0xFABC, 0x0123, 0xFABC]),  # 0xABC has its bit 11 set, 0x123 has not
        ({"high": 15}, [0xABCD, 0x000F], [0xABC0, 0x0000]),
        ({"high": 15, "signed": 1}, [0xABCD, 0x7FFF], [0xABC0, 0x7FF0]),
        ({"high": 13}, [0xFFFF, 0xD555], [0x3FFC, 0x1554]),
        ({"high": 13, "signed": 1}, [0xFFFF, 0xD555], [0xFFFC, 0x1554]),
        ({"order": ">"}, [0x1ABC, 0x2001], [0x0ABC, 0x0001]),
        ({"allocated": 32, "stored": 20, "signed": 1}, [0x7FF80000, 0x00100001], [0xFFF80000, 0x00000001]),
    ],
)
def test_bits_beside_the_values_are_cleared(layout, pixels, expected):
    dataset = image(pixels, **layout)
    original = dataset.PixelData
    result = deidentify_dataset(dataset, IDENTITY)
    kind = f"{layout.get('order', '<')}u{layout.get('allocated', 16) // 8}"
    assert np.frombuffer(result.PixelData, kind).tolist() == expected
    assert dataset.PixelData == original, "the original is left alone"


@pytest.mark.parametrize(
    ("layout", "pixels"),
    [
        ({"stored": 16}, [0x1ABC, 0xFFFF]),
        ({}, [0x0ABC, 0x0000]),
        ({"signed": 1}, [0xFABC, 0x0123]),
        ({"signed": 1}, [0x0ABC, 0x0123]),  # a sign that was never extended
        ({"high": 15}, [0xABC0, 0xFFF0]),
    ],
)
def test_pixels_without_such_bits_stay_as_they_are(layout, pixels):
    dataset = image(pixels, **layout)
    assert without_unused_bits(dataset) is dataset.get_item("PixelData")


def test_a_name_stamp_in_the_unused_bits_does_not_reach_the_file(tmp_path):
    values = np.arange(64).reshape(8, 8) * 31
    stamp = np.eye(8, dtype=int) << 12
    (tmp_path / "clinic").mkdir()
    for number, pixels in enumerate((values + stamp, values)):
        dataset = image(pixels.ravel())
        dataset.Rows = dataset.Columns = 8
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        if not number:
            with_overlay(dataset)
        dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = CT, "1.2.3"
        pydicom.dcmwrite(tmp_path / "clinic" / f"{number}.dcm", dataset, write_like_original=False)
    deidentify(tmp_path / "clinic", tmp_path / "given", num_workers=0, progress=False)
    given = sorted((tmp_path / "given").rglob("*.dcm"))
    assert len(given) == 2
    for path in given:
        written = pydicom.dcmread(path)
        assert written.PixelData == values.astype("<u2").tobytes() and (0x6000, 0x0102) not in written
        assert np.array_equal(pixel_values(path), values)


def test_pixels_with_unused_bits_mean_the_same_afterwards(tmp_path):
    pixels = np.array([0x0800, 0x07FF, 0x5FFF, 0x3001], "<u2")
    for signed, expected in ((0, [2048, 2047, 4095, 1]), (1, [-2048, 2047, -1, 1])):
        dataset = image(pixels, signed=signed)
        result = deidentify_dataset(dataset, IDENTITY)
        result.file_meta = dataset.file_meta
        for name, one in (("before", dataset), ("after", result)):
            pydicom.dcmwrite(tmp_path / name, one, write_like_original=False)
            assert pixel_values(tmp_path / name).ravel().tolist() == expected
        assert result.pixel_array.ravel().tolist() == expected


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ({"position": 12}, "overlay 6000 may lie in its compressed pixels \\(OverlayBitPosition 12\\)"),
        ({"position": 12, "data": b"\0\1"}, "OverlayBitPosition 12"),
        ({"position": 0, "group": 0x601E}, "overlay 601E may lie in its compressed pixels \\(no OverlayData\\)"),
        ({"position": 0, "data": b""}, "no OverlayData"),
    ],
)
def test_an_overlay_in_compressed_pixels_is_refused(syntax, overlay, words):
    dataset = with_overlay(image([1], syntax=syntax), **overlay)
    dataset.PixelData = encapsulate([b"12"])
    with pytest.raises(DicomError, match=words):
        deidentify_dataset(dataset, IDENTITY)


def test_compressed_pixels_without_such_an_overlay_stay_as_they_are():
    dataset = with_overlay(image([1], syntax=JPEGLSLossless), position=0, data=b"\0\1")
    dataset.PixelData = encapsulate([b"12"])
    result = deidentify_dataset(dataset, IDENTITY)
    assert result.PixelData == dataset.PixelData and (0x6000, 0x3000) not in result


def test_an_overlay_within_the_values_is_refused():
    for stored, high in ((16, None), (12, 15)):
        with pytest.raises(DicomError, match=r"overlay 6000 lies in bit 12 \(OverlayBitPosition\)"):
            deidentify_dataset(with_overlay(image([1], stored=stored, high=high)), IDENTITY)


def test_bits_that_cannot_be_told_are_refused():
    dataset = image([1])
    del dataset.BitsStored
    with pytest.raises(DicomError, match=r"BitsStored \(0028,0101\) is missing"):
        deidentify_dataset(dataset, IDENTITY)
    with pytest.raises(DicomError, match="HighBit 16, BitsStored 12 and BitsAllocated 16 do not fit"):
        deidentify_dataset(image([1], high=16), IDENTITY)
    dataset = image([1])
    dataset.PixelData = b"123"
    with pytest.raises(DicomError, match="PixelData of 3 bytes does not hold whole pixels of 16 bits"):
        deidentify_dataset(dataset, IDENTITY)


def test_without_a_high_bit_the_values_are_the_lowest_bits():
    dataset = image([0x1ABC])
    del dataset.HighBit
    assert deidentify_dataset(dataset, IDENTITY).PixelData == b"\xbc\x0a"
