"""Any damage gives a clear error or the right volume: never another volume, never another exception."""

import io

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from igtv.dicom import read_suv, suv_factors
from igtv.dicom.errors import DicomError
from igtv.dicom.geometry import stack
from igtv.dicom.series import Series, find_series
from igtv.dicom.volume import read_volume
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

FUZZ = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture(scope="module", params=[ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def whole_files(request, tmp_path_factory, series_datasets, write_series):
    """Bytes of the files of one CT."""
    folder = write_series(tmp_path_factory.mktemp("whole"), series_datasets(), request.param)
    return Contents(path.read_bytes() for path in sorted(folder.iterdir()))


class Contents(list):
    """Bytes that reports of failures do not print."""

    def __repr__(self) -> str:
        return f"{len(self)} files"


@pytest.fixture(scope="module")
def series_folder(tmp_path_factory):
    """series_folder(contents): a folder with these files and nothing else, the same one each time."""
    folder = tmp_path_factory.mktemp("damaged")

    def fill(contents):
        for path in folder.iterdir():
            path.unlink()
        for index, content in enumerate(contents):
            (folder / f"{index}.dcm").write_bytes(content)
        return folder

    return fill


def check_volume(folder, expected, origin_z=-30.0, spacing_z=3.0) -> int:
    """0 for an error of ours, or the number of slices, each of them the right one for its position."""
    try:
        image, _ = read_volume(folder)
    except DicomError as error:
        assert str(error)
        return False
    first = round((image.GetOrigin()[2] - origin_z) / spacing_z)
    # every second slice taken out evenly is a volume of its own, at the right places
    step = round(image.GetSpacing()[2] / spacing_z)
    found = sitk.GetArrayFromImage(image)
    assert image.GetSpacing() == pytest.approx((1.5, 2.0, 3.0 * step))
    assert np.array_equal(found, expected[first::step][: len(found)])
    return len(found)


@FUZZ
@given(data=st.data())
def test_files_cut_off_anywhere(whole_files, series_folder, expected_hu, data):
    contents = list(whole_files)
    which = data.draw(st.integers(0, len(contents) - 1))
    contents[which] = contents[which][: data.draw(st.integers(0, len(contents[which]) - 1))]
    # the last byte of a deflated file may be mere padding
    assert check_volume(series_folder(contents), expected_hu) in (0, len(contents))


@FUZZ
@given(data=st.data())
def test_files_shuffled_repeated_and_left_out(whole_files, series_folder, expected_hu, data):
    picked = data.draw(st.lists(st.integers(0, len(whole_files) - 1), min_size=1, max_size=12))
    good = check_volume(series_folder([whole_files[index] for index in picked]), expected_hu)
    steps = np.diff(sorted(set(picked)))
    assert good == (len(set(picked)) if len(set(steps)) <= 1 else 0)


@FUZZ
@given(data=st.data())
def test_without_an_attribute_the_volume_is_right_or_refused(whole_files, series_folder, expected_hu, data):
    contents = list(whole_files)
    sample = pydicom.dcmread(io.BytesIO(contents[0]))
    tag = data.draw(st.sampled_from([element.tag for element in sample]))
    for index in data.draw(st.sets(st.integers(0, len(contents) - 1), min_size=1)):
        dataset = pydicom.dcmread(io.BytesIO(contents[index]))
        pixels = dataset["PixelData"]
        pixels.VR = "OW"
        del dataset[tag]
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        contents[index] = buffer.getvalue()
    check_volume(series_folder(contents), expected_hu)


@FUZZ
@given(data=st.data())
def test_bytes_of_the_header_overwritten(whole_files, series_folder, data):
    """Another digit in a number cannot be told; anything but our error or an image is a fault."""
    contents = list(whole_files)
    which = data.draw(st.integers(0, len(contents) - 1))
    content = bytearray(contents[which])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 72))] = data.draw(st.integers(0, 255))
    contents[which] = bytes(content)
    folder = series_folder(contents)
    find_series(folder)
    try:
        read_volume(folder)
    except DicomError as error:
        assert str(error)


@FUZZ
@given(content=st.binary(max_size=400), magic=st.booleans())
def test_any_bytes_are_no_crash(series_folder, content, magic):
    folder = series_folder([bytes(128) + b"DICM" + content if magic else content])
    find_series(folder)


@settings(FUZZ, max_examples=100)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    spacing=st.floats(0.5, 10),
    order=st.permutations(range(8)),
)
def test_any_direction_and_any_order(series_datasets, angles, origin, spacing, order):
    """Positions as scanners print them, in text of 16 bytes."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    axes = np.array(turn.GetMatrix()).reshape(3, 3).T
    datasets = series_datasets(axes=(tuple(axes[0]), tuple(axes[1])), values=np.zeros((8, 2, 2), np.int16))
    for index, dataset in enumerate(datasets):
        position = np.array(origin) + index * spacing * axes[2]
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    mixed = tuple(datasets[index] for index in order)
    found = stack(Series("", "", "", "CT", "", "", tuple(f"{i}" for i in range(8)), mixed))
    assert [order[index] for index in found.order] == list(range(8))
    assert found.spacing_mm[2] == pytest.approx(spacing, abs=1e-5)
    assert found.origin_mm == pytest.approx(origin, abs=1e-4)
    assert np.array(found.direction).reshape(3, 3) == pytest.approx(axes.T, abs=1e-6)


SUV_KINDS = {
    "plain": {},
    "later bed": {"AcquisitionTime": "110200", "FrameReferenceTime": "179956.4"},
    "GE bed": {"AcquisitionTime": "110200", "FrameReferenceTime": "120000", "Manufacturer": "GE MEDICAL SYSTEMS"},
    "processed later": {"SeriesTime": "130000", "FrameReferenceTime": "59956.4"},
    "uncorrected": {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]},
    "at injection": {"DecayCorrection": "ADMIN"},
    "ideal weight": {"Units": "GML", "SUVType": "IBW"},
    "surface": {"Units": "CM2ML", "SUVType": "BSA"},
    "dated": {"RadiopharmaceuticalStartDateTime": "20240229100000", "AcquisitionDateTime": "20240229110000"},
}
# its absence means SUVbw by the standard, so taking it out says something else and nothing is left to notice
NOT_TAKEN_OUT = ("SUVType",)


@settings(FUZZ, max_examples=150)
@given(kind=st.sampled_from(sorted(SUV_KINDS)), data=st.data())
def test_suv_with_attributes_taken_out(pet_header, kind, data):
    """The same factor or an error; never another factor."""
    whole = suv_factors([pet_header(**SUV_KINDS[kind])])[0]
    header = pet_header(**SUV_KINDS[kind])
    item = header.RadiopharmaceuticalInformationSequence[0]
    words = [element.keyword for element in header if element.keyword not in NOT_TAKEN_OUT]
    words += [element.keyword for element in item]
    for word in data.draw(st.sets(st.sampled_from(words), min_size=1, max_size=4)):
        target = header if word in header else item
        if word in target:
            delattr(target, word)
    try:
        found = suv_factors([header])[0]
    except DicomError as error:
        assert "(" in str(error)
        return
    assert found == pytest.approx(whole, rel=1e-4)


def test_suv_volume_of_a_damaged_series_is_refused(tmp_path, series_datasets, write_series):
    write_series(tmp_path, series_datasets("PT"))
    whole, _ = read_suv(tmp_path)
    assert whole.GetSize() == (7, 5, 6)
    content = (tmp_path / "003.dcm").read_bytes()
    (tmp_path / "003.dcm").write_bytes(content[:-10])
    with pytest.raises(DicomError, match=r"003\.dcm is cut off within its pixels"):
        read_suv(tmp_path)


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        (b"-1024 ", b"-1Q24 ", "RescaleIntercept"),
        (b"-10.000000", b"-10..00000", "ImagePositionPatient"),
    ],
)
def test_values_that_are_no_numbers_are_named(tmp_path, series_datasets, write_series, good, bad, words):
    write_series(tmp_path, series_datasets())
    path = tmp_path / "002.dcm"
    content = path.read_bytes()
    assert good in content
    path.write_bytes(content.replace(good, bad))
    with pytest.raises(DicomError, match=rf"002\.dcm.*({words})"):
        read_volume(tmp_path)
