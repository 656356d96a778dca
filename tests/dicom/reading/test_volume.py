"""Values: slope and intercept, padding, transfer syntaxes."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.frame import encode_frame
from igtv.dicom.errors import DicomError
from igtv.dicom.pixels import pixel_values
from igtv.dicom.volume import as_int16, read_volume
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_pixels_become_hu(tmp_path, series_datasets, write_series, expected_hu, syntax):
    write_series(tmp_path, series_datasets(), syntax)
    image, _ = read_volume(tmp_path)
    assert image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(sitk.GetArrayFromImage(image), expected_hu)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("slope", ["2", "0.00317459"])
def test_compressed_pixels_come_back_exactly(tmp_path, series_datasets, write_series, syntax, slope):
    """A slope per slice as PET has it: stored values come back exactly."""
    values = (np.arange(6 * 40 * 48).reshape(6, 40, 48) % 4001).astype(np.uint16)
    datasets = series_datasets(values=values, PixelRepresentation=0, RescaleSlope=slope)
    for dataset, pixels in zip(datasets, values, strict=True):
        frame = encode_frame(
            pixels, syntax, bits_allocated=16, bits_stored=16, photometric_interpretation="MONOCHROME2"
        )
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
    write_series(tmp_path, datasets, syntax)
    assert np.array_equal(pixel_values(tmp_path / "002.dcm"), values[2])
    image, _ = read_volume(tmp_path)
    expected = (values * float(slope) - 1024).astype(np.float32)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_files_compressed_by_another_program(tmp_path, series_datasets, write_series, compressor):
    """SimpleITK's GDCM writes lossless JPEG; the header stays."""
    values = np.random.default_rng(1).integers(0, 4000, (64, 64)).astype(np.int16)
    image = sitk.GetImageFromArray(values[None])
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "one.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image)
    assert pydicom.dcmread(tmp_path / "one.dcm").file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(pixel_values(tmp_path / "one.dcm"), values)


def test_a_slope_per_slice_is_applied_to_its_own(tmp_path, series_datasets, write_series, expected_hu):
    datasets = series_datasets()
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + index), str(-index)
    write_series(tmp_path, datasets)
    image, decisions = read_volume(tmp_path)
    stored = (expected_hu + 1024) / 2
    scale = np.arange(6)[:, None, None]
    assert np.array_equal(sitk.GetArrayFromImage(image), stored * (1 + scale) - scale)
    assert any("differs between slices" in line for line in decisions)


def test_padding_becomes_air(tmp_path, series_datasets, write_series, expected_hu):
    """GE pads with -2000, as stored value of a signed image; also written as unsigned two's complement."""
    for number, padding in enumerate((-2000, 63536)):
        datasets = series_datasets(RescaleSlope="1", RescaleIntercept="0")
        for dataset in datasets:
            dataset.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
            pixels = np.frombuffer(dataset.PixelData, "<i2").reshape(5, 7).copy()
            pixels[0, :3] = -2000
            dataset.PixelData = pixels.tobytes()
        write_series(tmp_path / str(number), datasets)
        image, decisions = read_volume(tmp_path / str(number))
        found = sitk.GetArrayFromImage(image)
        assert np.all(found[:, 0, :3] == -1024)
        assert np.array_equal(found[:, 1:], ((expected_hu + 1024) / 2)[:, 1:])
        assert "18 padding voxels set to -1024 HU" in decisions


def test_padding_value_among_tissue_is_left_alone(tmp_path, series_datasets, write_series, expected_hu):
    datasets = series_datasets()
    for dataset in datasets:
        dataset.add_new(0x00280120, "SS", 562)  # 100 HU
    write_series(tmp_path, datasets)
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(tmp_path)[0]), expected_hu)


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_above_the_stored_ones_are_no_value(tmp_path, series_datasets, write_series, signed):
    """12 bits stored, an overlay in bit 15."""
    values = np.array([[[0, 5, 2047, 4095 if not signed else -3]]], np.int16)
    datasets = series_datasets(values=values, BitsStored=12, HighBit=11, PixelRepresentation=signed)
    raw = (values[0].astype(np.uint16) & 0x0FFF) | 0x8000
    datasets[0].PixelData = raw.astype("<u2").tobytes()
    write_series(tmp_path, datasets)
    assert np.array_equal(pixel_values(tmp_path / "000.dcm"), values[0])


@pytest.mark.parametrize(
    ("keyword", "tag"),
    [
        ("RescaleSlope", "0028,1053"),
        ("RescaleIntercept", "0028,1052"),
        ("PixelRepresentation", "0028,0103"),
        ("BitsAllocated", "0028,0100"),
        ("BitsStored", "0028,0101"),
        ("SamplesPerPixel", "0028,0002"),
    ],
)
def test_missing_tag_is_named(tmp_path, series_datasets, write_series, keyword, tag):
    datasets = series_datasets()
    delattr(datasets[1], keyword)
    write_series(tmp_path, datasets)
    with pytest.raises(DicomError, match=rf"001\.dcm: {keyword} \({tag}\) is missing"):
        read_volume(tmp_path)


@pytest.mark.parametrize(("keyword", "value"), [("RescaleSlope", "0"), ("SamplesPerPixel", 3), ("HighBit", 14)])
def test_values_that_cannot_be_read(tmp_path, series_datasets, write_series, keyword, value):
    datasets = series_datasets()
    setattr(datasets[1], keyword, value)
    write_series(tmp_path, datasets)
    with pytest.raises(DicomError, match=keyword):
        read_volume(tmp_path)


def test_lookup_tables_are_refused(tmp_path, series_datasets, write_series):
    write_series(tmp_path, series_datasets(ModalityLUTSequence=[pydicom.Dataset()]))
    with pytest.raises(DicomError, match="lookup table"):
        read_volume(tmp_path)


def test_whole_numbers_end_where_16_bits_do():
    image = sitk.GetImageFromArray(np.array([[[-40000, -1000.4, 0.6, 3071, 50000]]], np.float32))
    assert sitk.GetArrayFromImage(as_int16(image)).ravel().tolist() == [-32768, -1000, 1, 3071, 32767]
