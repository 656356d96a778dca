"""Order, spacing and direction of slices; volumes that are none are refused with words."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.geometry import stack
from igtv.dicom.series import Series, load_series
from igtv.dicom.volume import read_volume

# axial, flipped head to foot, sagittal, coronal and oblique in all three angles
AXES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "prone": ((-1, 0, 0), (0, -1, 0)),
    "flipped": ((1, 0, 0), (0, -1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
}
_turn = sitk.Euler3DTransform()
_turn.SetRotation(0.3, -0.5, 0.8)
_matrix = np.array(_turn.GetMatrix()).reshape(3, 3)
AXES["oblique"] = (tuple(_matrix[:, 0]), tuple(_matrix[:, 1]))


def series_of(datasets) -> Series:
    """A series of headers alone."""
    return Series("P1", "1", "2", "CT", "3", "", tuple(map(_path, range(len(datasets)))), tuple(datasets))


def _path(index: int) -> Path:
    return Path(f"{index:03d}.dcm")


@pytest.mark.parametrize("name", AXES)
def test_every_voxel_lies_where_the_headers_say(tmp_path, series_datasets, write_series, spacing_mm, name):
    """The corner voxel of each slice, from its header, is found at that point of the image."""
    datasets = series_datasets(axes=AXES[name])
    write_series(tmp_path, datasets, names=[f"{number}" for number in (3, 5, 1, 0, 4, 2)])
    image, _ = read_volume(tmp_path)
    assert image.GetSpacing() == pytest.approx(spacing_mm)
    for dataset in datasets:
        pixels = np.frombuffer(dataset.PixelData, "<i2").reshape(dataset.Rows, dataset.Columns) * 2.0 - 1024
        for row, column in ((0, 0), (0, 6), (4, 0), (3, 2)):
            cosines = np.array(dataset.ImageOrientationPatient, float)
            point = np.array(dataset.ImagePositionPatient, float)
            point = point + cosines[:3] * column * spacing_mm[0] + cosines[3:] * row * spacing_mm[1]
            index = image.TransformPhysicalPointToIndex(point.tolist())
            assert image[index] == pixels[row, column]


def test_gdcm_reads_the_same_volume(shared_dir, gdcm_volume):
    folder = shared_dir / "data" / "dicom" / "STS_042" / "CT" / "image"
    ours, reference = read_volume(folder)[0], gdcm_volume(folder)
    assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(reference))
    for ask in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, ask)() == pytest.approx(getattr(reference, ask)(), abs=1e-4)


def test_positions_win_over_slice_thickness(unpacked):
    folder = unpacked("ct4d/popi4d_dicom.tar.xz")
    phase = next(path for path in sorted(folder.rglob("*")) if path.is_dir() and path.name == "00")
    image, decisions = read_volume(phase)
    assert image.GetSpacing() == pytest.approx((5, 5, 6))
    assert any("SliceThickness says 2 mm, positions are 6 mm apart" in line for line in decisions)


def test_gap_names_its_place(series_datasets):
    datasets = series_datasets()
    del datasets[3]
    with pytest.raises(DicomError, match=r"slices are missing \(1 between -24.00 and -18.00 mm"):
        stack(series_of(datasets))


def test_small_irregularity_is_accepted_and_logged(series_datasets):
    datasets = series_datasets()
    datasets[2].ImagePositionPatient[2] += 0.2
    found = stack(series_of(datasets))
    assert found.spacing_mm[2] == pytest.approx(3)
    assert any("off the regular grid by up to 0.200 mm" in line for line in found.decisions)


def test_slices_thinned_out_are_noted(series_datasets):
    datasets = series_datasets()
    assert not any("InstanceNumber" in line for line in stack(series_of(datasets)).decisions)
    found = stack(series_of(datasets[::2]))
    assert found.spacing_mm[2] == pytest.approx(6)
    assert any("InstanceNumber goes in steps of 2" in line for line in found.decisions)


def test_uneven_spacing_is_refused(series_datasets):
    datasets = series_datasets()
    for dataset in datasets[3:]:
        dataset.ImagePositionPatient[2] += 1.2
    with pytest.raises(DicomError, match="unevenly spaced"):
        stack(series_of(datasets))


def test_the_same_image_twice_counts_once_and_two_at_one_place_are_refused(
    tmp_path, series_datasets, write_series, edit_file, expected_hu
):
    datasets = series_datasets()
    write_series(tmp_path, [*datasets, datasets[2]])
    image, decisions = read_volume(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected_hu)
    assert "1 copies of images left out" in decisions

    def other_text(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = "2.000000", "-1024.0"

    edit_file(tmp_path / "006.dcm", other_text)
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(tmp_path)[0]), expected_hu)

    def other_pixels(dataset):
        dataset.PixelData = bytes(len(dataset.PixelData))

    edit_file(tmp_path / "006.dcm", other_pixels)
    with pytest.raises(DicomError, match="two different images lie at -24.00 mm"):
        read_volume(tmp_path)


def test_one_instance_at_two_places_is_refused(series_datasets):
    datasets = series_datasets()
    datasets[5].SOPInstanceUID = datasets[0].SOPInstanceUID
    with pytest.raises(DicomError, match="SOPInstanceUID"):
        stack(series_of(datasets))


def test_tilted_gantry_is_refused(series_datasets):
    datasets = series_datasets()
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient[1] += index * 3.0 * np.tan(np.radians(12))
    with pytest.raises(DicomError, match="tilted by 12.0 degrees"):
        stack(series_of(datasets))


def test_stated_tilt_without_tilted_positions(series_datasets):
    found = stack(series_of(series_datasets(GantryDetectorTilt="5")))
    assert any("GantryDetectorTilt says 5 degrees" in line for line in found.decisions)


def test_slices_shifted_sideways_are_refused(series_datasets):
    datasets = series_datasets()
    datasets[3].ImagePositionPatient[0] += 2
    with pytest.raises(DicomError, match="shifted sideways"):
        stack(series_of(datasets))


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("PixelSpacing", ["3", "3"], r"PixelSpacing \(0028,0030\) are mixed"),
        ("Rows", 9, r"Rows \(0028,0010\) and Columns"),
        ("FrameOfReferenceUID", "9.9", r"FrameOfReferenceUID \(0020,0052\) is mixed"),
        ("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"], r"ImageOrientationPatient \(0020,0037\) is mixed"),
        ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"], "mixed"),
        ("NumberOfFrames", 20, "20 frames"),
        ("ImagePositionPatient", ["1", "2"], "3 numbers are needed"),
        ("PixelSpacing", ["0", "2"], "above 0"),
    ],
)
def test_mixed_or_broken_slices_are_refused(series_datasets, keyword, value, words):
    datasets = series_datasets()
    setattr(datasets[2], keyword, value)
    with pytest.raises(DicomError, match=words):
        stack(series_of(datasets))


def test_axes_that_are_not_perpendicular_are_refused(series_datasets):
    datasets = series_datasets(ImageOrientationPatient=["1", "0", "0", "0.5", "0.866", "0"])
    with pytest.raises(DicomError, match="perpendicular"):
        stack(series_of(datasets))


@pytest.mark.parametrize(
    ("keyword", "tag"),
    [("ImagePositionPatient", "0020,0032"), ("ImageOrientationPatient", "0020,0037"), ("PixelSpacing", "0028,0030")],
)
def test_missing_tag_is_named(tmp_path, series_datasets, write_series, keyword, tag):
    datasets = series_datasets()
    delattr(datasets[4], keyword)
    write_series(tmp_path, datasets)
    with pytest.raises(DicomError, match=rf"004\.dcm: {keyword} \({tag}\) is missing"):
        read_volume(tmp_path)


def test_a_single_slice_takes_its_thickness_from_the_header(tmp_path, series_datasets, write_series):
    datasets = series_datasets()[:1]
    write_series(tmp_path, datasets)
    image, decisions = read_volume(load_series(tmp_path))
    assert image.GetSize() == (7, 5, 1)
    assert image.GetSpacing()[2] == 3
    assert any("single slice" in line for line in decisions)
    del datasets[0].SliceThickness
    with pytest.raises(DicomError, match="SliceThickness"):
        stack(series_of(datasets))
