"""RTSTRUCT in: real studies against plastimatch, every trap by hand, damaged files."""

import logging
from functools import partial

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from igtv.dicom import read_contours
from igtv.dicom.errors import DicomError
from igtv.dicom.rtstruct_reader import list_rois, read_structure_set, structure_masks
from pydicom.uid import generate_uid

from .conftest import FRAME, make_rtstruct, save_dataset

OTHER_FRAME = "1.2.826.0.1.3680043.8.498.2"


def square(z, low=-5.2, high=5.2):
    return np.array([(low, low, z), (high, low, z), (high, high, z), (low, high, z)])


@pytest.fixture
def grid():
    image = sitk.Image([40, 40, 20], sitk.sitkInt16)
    image.SetSpacing([1.0, 1.0, 3.0])
    image.SetOrigin([-19.5, -19.5, 0.0])
    return image


def voxels(mask):
    return int(sitk.GetArrayViewFromImage(mask).sum())


@pytest.mark.parametrize("patient", ["STS_002", "STS_042"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_sarcomas_equal_plastimatch(shared_dir, plastimatch_masks, gdcm_volume, dice, patient, modality):
    folder = shared_dir / "data" / "dicom" / patient / modality
    masks = read_contours(folder / "mask" / "RS.dcm", gdcm_volume(folder / "image"))
    assert list(masks) == [f"GTV_Mass_{modality}"]
    independent = plastimatch_masks(folder / "mask" / "RS.dcm", folder / "image")
    for name, mask in masks.items():
        assert dice(mask, independent[name]) >= 0.99


def test_lung_phase_equals_plastimatch(unpacked, plastimatch_masks, gdcm_volume, dice):
    folder = unpacked("rtstruct/4DLung_113.tar.xz") / "4DLung_113"
    rtstruct = next((folder / "RS").iterdir())
    masks = read_contours(rtstruct, gdcm_volume(folder / "CT"))
    independent = plastimatch_masks(rtstruct, folder / "CT")
    assert set(masks) == {"Tumor_c40", "LN_c40", "Carina_c40", "Vertebra_c40"} == set(independent)
    for name, mask in masks.items():
        assert dice(mask, independent[name]) >= 0.99
        assert dice(mask, sitk.ReadImage(folder / "masks" / f"{name}.nii.gz")) >= 0.99


def test_contours_of_the_pet_on_the_ct(shared_dir, gdcm_volume):
    """The grid may be another image's: volumes agree."""
    folder = shared_dir / "data" / "dicom" / "STS_002"
    volumes = []
    for modality in ("CT", "PET"):
        image = gdcm_volume(folder / modality / "image")
        mask = read_contours(folder / "CT" / "mask" / "RS.dcm", image)["GTV_Mass_CT"]
        assert mask.GetSize() == image.GetSize() and mask.GetOrigin() == image.GetOrigin()
        volumes.append(voxels(mask) * np.prod(image.GetSpacing()))
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)


def test_geometry_decides_and_not_references(rtstruct_file, grid):
    """Stale, empty and absent image references give one and the same mask."""

    def stale(dataset):
        for number, contour in enumerate(dataset.ROIContourSequence[0].ContourSequence):
            item = pydicom.Dataset()
            if number != 1:
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
            contour.ContourImageSequence = [] if number == 2 else [item]

    contours = {"IGTV": [square(z) for z in (3, 6, 9)]}
    plain = read_contours(rtstruct_file(contours), grid)["IGTV"]
    assert voxels(plain) == 300 == voxels(read_contours(rtstruct_file(contours, change=stale), grid)["IGTV"])


def test_holes_as_keyhole_as_ring_and_as_xor(rtstruct_file, grid):
    outer, inner = square(6, -10.2, 10.2), square(6, -3.2, 3.2)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1][[3, 0, 1, 2]], inner[::-1][3:4]])
    path = rtstruct_file(
        {
            "ring": [outer, inner],
            "keyhole": [keyhole],
            "xor": [(outer, "CLOSEDPLANAR_XOR"), (inner, "CLOSEDPLANAR_XOR")],
            "shifted_xor": [(outer, "CLOSEDPLANAR_XOR"), (outer + [5, 0, 0], "CLOSEDPLANAR_XOR")],
        }
    )
    masks = read_contours(path, grid)
    assert {name: voxels(mask) for name, mask in masks.items()} == {
        "ring": 364, "keyhole": 364, "xor": 364, "shifted_xor": 200,
    }  # fmt: skip


def test_points_and_open_contours_are_left_out(rtstruct_file, grid, caplog):
    path = rtstruct_file(
        {
            "isocentre": [([[0, 0, 6]], "POINT")],
            "catheter": [(square(6), "OPEN_NONPLANAR")],
            "IGTV": [square(6), square(9)[:1], square(9)[:2], (square(12), "OPEN_PLANAR")],
        }
    )
    with caplog.at_level(logging.INFO):
        masks = read_contours(path, grid)
    assert list(masks) == ["IGTV"] == list_rois(path) and voxels(masks["IGTV"]) == 100
    assert "2 contours of fewer than 3 points" in caplog.text and "1 OPEN_PLANAR contours" in caplog.text
    assert "'isocentre' left out" in caplog.text
    with pytest.raises(DicomError, match="'isocentre' has no closed contours"):
        structure_masks(read_structure_set(path), grid, names=["isocentre"])


def test_mixed_frames_of_reference(rtstruct_file, grid):
    path = rtstruct_file({"IGTV": [square(6)], "GTV_PET": [square(9)]}, frames={"GTV_PET": OTHER_FRAME})
    with pytest.raises(DicomError, match="2 frames of reference"):
        read_contours(path, grid)
    assert list(read_contours(path, grid, frame_of_reference_uid=OTHER_FRAME)) == ["GTV_PET"]
    grid.SetMetaData("0020|0052", FRAME)
    assert list(read_contours(path, grid)) == ["IGTV"]
    with pytest.raises(DicomError, match="frame of reference"):
        structure_masks(read_structure_set(path), grid, names=["GTV_PET"])
    with pytest.raises(DicomError, match="no ROI could be placed"):
        read_contours(path, grid, frame_of_reference_uid="1.2.3")


def test_outside_the_image(rtstruct_file, grid):
    path = rtstruct_file({"IGTV": [square(6)], "far": [square(600)]})
    masks, notes = structure_masks(read_structure_set(path), grid)
    assert list(masks) == ["IGTV"] and any("'far' left out" in note for note in notes)
    with pytest.raises(DicomError, match="outside"):
        read_contours(rtstruct_file({"far": [square(600)]}), grid)


def test_roi_of_one_name_twice(rtstruct_file, grid):
    def rename(dataset):
        dataset.StructureSetROISequence[1].ROIName = "IGTV"

    path = rtstruct_file({"IGTV": [square(6)], "b": [square(6), square(9)]}, change=rename)
    masks = read_contours(path, grid)
    assert {name: voxels(mask) for name, mask in masks.items()} == {"IGTV (number 1)": 100, "IGTV (number 2)": 200}
    with pytest.raises(DicomError, match="no ROI is named 'IGTV'"):
        structure_masks(read_structure_set(path), grid, names=["IGTV"])


def _pop(keyword):
    return lambda dataset: dataset.pop(keyword)


def _first_contour(change):
    return lambda dataset: change(dataset.ROIContourSequence[0].ContourSequence[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_pop("ROIContourSequence"), "ROIContourSequence"),
        (_pop("StructureSetROISequence"), "StructureSetROISequence"),
        (lambda d: setattr(d, "Modality", "CT"), "no RTSTRUCT"),
        (_pop("Modality"), "no RTSTRUCT"),
        (lambda d: setattr(d.StructureSetROISequence[1], "ROINumber", 1), "two ROIs have the number 1"),
        (_first_contour(lambda c: c.pop("ContourData")), "no ContourData"),
        (_first_contour(lambda c: setattr(c, "NumberOfContourPoints", 5)), "12 coordinates"),
        (_first_contour(lambda c: setattr(c, "ContourData", list(c.ContourData)[:-1])), "11 coordinates"),
        (_first_contour(lambda c: setattr(c, "ContourOffsetVector", [0, 0, 5])), "ContourOffsetVector"),
        (_first_contour(lambda c: setattr(c, "ContourData", ["inf", *list(c.ContourData)[1:]])), "not finite"),
        (lambda d: d.ROIContourSequence[0].pop("ReferencedROINumber"), "damaged"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(rtstruct_file, grid, change, words):
    path = rtstruct_file({"IGTV": [square(6)], "b": [square(6)]}, change=change)
    with pytest.raises(DicomError, match=words) as caught:
        read_contours(path, grid)
    assert path.name in str(caught.value) and str(path.parent) not in str(caught.value)


def test_text_among_coordinates(rtstruct_file, grid):
    path = rtstruct_file({"IGTV": [square(6)]})
    path.write_bytes(path.read_bytes().replace(b"5.2000", b"5,2000", 1))
    with pytest.raises(DicomError, match="no number"):
        read_contours(path, grid)


def test_no_dicom_at_all(tmp_path, grid):
    with pytest.raises(DicomError, match="no such file"):
        read_contours(tmp_path / "none.dcm", grid)
    (tmp_path / "text.dcm").write_text("not DICOM " * 50)
    with pytest.raises(DicomError, match=r"text\.dcm"):
        read_contours(tmp_path / "text.dcm", grid)


def test_stray_contours_and_missing_type(rtstruct_file, grid):
    def change(dataset):
        dataset.ROIContourSequence[1].ReferencedROINumber = 77
        dataset.ROIContourSequence[0].ContourSequence[0].pop("ContourGeometricType")

    path = rtstruct_file({"IGTV": [square(6)], "b": [square(6)]}, change=change)
    masks, notes = structure_masks(read_structure_set(path), grid)
    assert list(masks) == ["IGTV"] and any("number 77" in note for note in notes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole RTSTRUCT with an ellipsoid, once with sequences of known length, once with delimiters."""
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    contours = [
        np.c_[radius * np.cos(angle), radius * np.sin(angle), np.full(30, z)]
        for z, radius in ((3, 5), (6, 8), (9, 9), (12, 7))
    ]
    files = []
    for undefined in (False, True):
        dataset = make_rtstruct({"IGTV": contours})
        for element in dataset.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined
        files.append(save_dataset(dataset, tmp_path_factory.mktemp("rtstruct") / "rs.dcm"))
    return files


def _result(content, folder, grid):
    path = folder / "fuzzed.dcm"
    path.write_bytes(content)
    try:
        return read_contours(path, grid)
    except DicomError as error:
        assert "fuzzed.dcm" in str(error)
        return None


fuzz = partial(settings, max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz()
@given(kind=st.integers(0, 1), share=st.floats(0, 1, exclude_max=True))
def test_cut_off_anywhere(whole, tmp_path, grid, kind, share):
    """A file cut anywhere gives an error, never part of the tumour."""
    content = whole[kind].read_bytes()
    assert _result(content[: int(share * len(content))], tmp_path, grid) is None


@fuzz()
@given(kind=st.integers(0, 1), places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_never_crash(whole, tmp_path, grid, kind, places):
    """Any bytes changed: an error of ours, or a mask; never another exception."""
    content = bytearray(whole[kind].read_bytes())
    for share, value in places:
        content[min(int(share * len(content)), len(content) - 1)] = value
    _result(bytes(content), tmp_path, grid)
