"""What is taken as a label, and what is refused with which words."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.labels.intake import check_label_file

NAMES = ("igtv",)
INFO = [{"name": "igtv", "idx": 1}]


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def write(image: sitk.Image, path):
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".seg.nrrd"])
def test_mask_on_the_grid_keeps_every_voxel(grid, mask, tmp_path, suffix):
    checked = check_label_file(write(mask, tmp_path / f"label{suffix}"), grid, NAMES, INFO)
    assert np.array_equal(voxels(checked.mask), voxels(mask))
    assert checked.mask.GetOrigin() == grid.GetOrigin() and checked.mask.GetDirection() == grid.GetDirection()
    assert checked.voxels == 24 and checked.volume_ml == pytest.approx(24 * 1.5 * 1.5 * 3 / 1000)
    assert checked.notes == () and not checked.no_tumour


def test_a_rounded_position_is_the_same_grid_a_shift_is_not(grid, mask, tmp_path):
    """By the rule of the bundle: corners less than 0.1 mm apart, whatever the size of the voxels."""
    for shift_mm, same in ((0.09, True), (0.12, False)):
        moved = sitk.Image(mask)
        moved.SetOrigin([grid.GetOrigin()[0], grid.GetOrigin()[1], grid.GetOrigin()[2] + shift_mm])
        checked = check_label_file(write(moved, tmp_path / "label.nrrd"), grid, NAMES, INFO)
        assert np.array_equal(voxels(checked.mask), voxels(mask)) and (checked.notes == ()) is same
        moved.SetOrigin([grid.GetOrigin()[0] + shift_mm, *grid.GetOrigin()[1:]])
        checked = check_label_file(write(moved, tmp_path / "label.nrrd"), grid, NAMES, INFO)
        assert np.array_equal(voxels(checked.mask), voxels(mask)) and (checked.notes == ()) is same


def test_raw_bytes_in_the_order_of_the_ct(grid, mask, tmp_path):
    path = tmp_path / "label.bin"
    path.write_bytes(voxels(mask).tobytes())  # z slowest: Fortran order of (x, y, z)
    assert np.array_equal(voxels(check_label_file(path, grid, NAMES, INFO).mask), voxels(mask))
    path.write_bytes(voxels(mask).tobytes()[:-1])
    with pytest.raises(LabelRefused, match="959 bytes, the CT 960 voxels"):
        check_label_file(path, grid, NAMES, INFO)


def test_flipped_axes_are_put_back(grid, mask, tmp_path):
    flipped = sitk.Flip(mask, [True, False, True])
    checked = check_label_file(write(flipped, tmp_path / "label.nii.gz"), grid, NAMES, INFO)
    assert np.array_equal(voxels(checked.mask), voxels(mask))


def test_cropped_mask_is_put_back_in_its_place(grid, mask, tmp_path):
    checked = check_label_file(write(mask[2:9, 1:7, 3:5], tmp_path / "label.nrrd"), grid, NAMES, INFO)
    assert np.array_equal(voxels(checked.mask), voxels(mask))
    assert "resampled to the CT's grid (7x6x2 on 12x10x8 voxels)" in checked.notes


def test_finer_grid_is_resampled(grid, mask, tmp_path):
    fine = sitk.Image([24, 20, 16], sitk.sitkUInt8)
    fine.SetSpacing([0.75, 0.75, 1.5])
    fine.SetDirection(grid.GetDirection())
    fine.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([-0.25, -0.25, -0.25]))
    finer = sitk.Resample(mask, fine, sitk.Transform(), sitk.sitkNearestNeighbor)
    checked = check_label_file(write(finer, tmp_path / "label.nii.gz"), grid, NAMES, INFO)
    assert np.array_equal(voxels(checked.mask), voxels(mask))


def test_segments_are_counted_in_the_order_they_were_sent(grid, mask, tmp_path):
    """3D Slicer numbers the segments it exports 1..N; `idx` counts those it leaves out, too, or is not there."""
    image = sitk.Image(mask)
    image[0, 0, 0] = 2
    path = write(image, tmp_path / "label.nrrd")
    checked = check_label_file(path, grid, NAMES, [{"name": "IGTV", "idx": 2}, {"name": "heart", "idx": 5}])
    assert checked.voxels == 24 and checked.notes == ("left out: heart",)
    for info in ([{"name": "heart"}, {"name": "igtv"}], [{"name": "heart", "idx": 1}, {"name": "igtv"}]):
        checked = check_label_file(path, grid, NAMES, info)
        assert checked.voxels == 1 and voxels(checked.mask)[0, 0, 0] == 1


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ([{"name": "lung", "idx": 2}, {"name": "igtv", "idx": 1}], r"disagree \(lung 2, igtv 1\)"),
        ([{"name": "igtv", "idx": 3}, {"name": "lung"}, {"name": "heart", "idx": 1}], "igtv 3, lung None, heart 1"),
        ([{"name": "lung", "idx": 1}, {"name": "igtv", "idx": 1}], "disagree"),
        ([{"name": "lung", "idx": "2"}, {"name": "igtv", "idx": "1"}], "disagree"),
        ([{"name": "lung", "idx": [1]}, {"name": "igtv", "idx": 2}], "must be a whole number"),
    ],
)
def test_an_order_that_idx_denies_is_refused(grid, mask, tmp_path, info, words):
    """Else the other structure would be stored as the tumour of a client that sends the values in `idx`."""
    mask[0, 0, 0] = 2
    with pytest.raises(LabelRefused, match=words):
        check_label_file(write(mask, tmp_path / "label.nrrd"), grid, NAMES, info)


def test_one_segment_may_have_any_value(grid, mask, tmp_path):
    checked = check_label_file(write(mask * 7, tmp_path / "label.nii.gz"), grid, NAMES, INFO)
    assert checked.voxels == 24 and voxels(checked.mask).max() == 1


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ([{"name": "gtv", "idx": 1}], "no segment is called igtv; there are: gtv"),
        ([{"name": "igtv"}, {"name": "IGTV"}], "two segments are called igtv"),
        ("igtv", "must be a list"),
        ([{"idx": 1}], "must be a list of objects with `name`"),
        ([1], "must be a list of objects"),
    ],
)
def test_wrong_names_are_refused(grid, mask, tmp_path, info, words):
    with pytest.raises(LabelRefused, match=words):
        check_label_file(write(mask, tmp_path / "label.nii.gz"), grid, NAMES, info)


def test_several_values_without_names_are_refused(grid, mask, tmp_path):
    mask[0, 0, 0] = 2
    with pytest.raises(LabelRefused, match="values 1, 2 without their names"):
        check_label_file(write(mask, tmp_path / "label.nii.gz"), grid, NAMES)


def test_empty_label_only_with_the_word_that_there_is_no_tumour(grid, mask, tmp_path):
    path = write(mask * 0, tmp_path / "label.nii.gz")
    with pytest.raises(LabelRefused, match="empty"):
        check_label_file(path, grid, NAMES, INFO)
    checked = check_label_file(path, grid, NAMES, INFO, no_tumour=True)
    assert checked.no_tumour and checked.mask.GetSize() == grid.GetSize()
    with pytest.raises(LabelRefused, match="24 voxels are marked"):
        check_label_file(write(mask, path), grid, NAMES, INFO, no_tumour=True)


def test_small_mask_without_position_is_refused(grid, tmp_path):
    small = sitk.GetImageFromArray(np.ones((8, 8, 8), np.uint8))
    with pytest.raises(LabelRefused, match="8 x 8 x 8 voxels and no position"):
        check_label_file(write(small, tmp_path / "label.nii.gz"), grid, NAMES, INFO)


def test_mask_of_another_patient_is_refused(grid, mask, tmp_path):
    mask.SetOrigin([400.0, 0.0, 0.0])
    with pytest.raises(LabelRefused, match="100 % of the mask lies outside the CT"):
        check_label_file(write(mask, tmp_path / "label.nii.gz"), grid, NAMES, INFO)


def test_inverted_mask_is_refused(grid, mask, tmp_path):
    with pytest.raises(LabelRefused, match="covers 98% of the CT"):
        check_label_file(write(1 - mask, tmp_path / "label.nii.gz"), grid, NAMES, INFO)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.full((8, 10, 12), 0.5, np.float32), "fractions"),
        (np.full((8, 10, 12), -1, np.int16), "negative"),
        (np.full((8, 10, 12), np.nan, np.float32), "no numbers"),
        (np.ones((8, 10), np.uint8), "2 dimensions"),
    ],
)
def test_what_is_no_label_map_is_refused(grid, tmp_path, voxels, words):
    path = tmp_path / "label.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    with pytest.raises(LabelRefused, match=words):
        check_label_file(path, grid, NAMES, INFO)


@pytest.mark.parametrize("name", ["label.nii.gz", "label.nrrd", "label.nii"])
@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", b"NRRD0005\ntype: uint8\n", gzip.compress(b"\0" * 400)],
    ids=["empty", "text", "cut off", "zeros"],
)
def test_text_and_cut_off_files_are_refused(grid, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LabelRefused, match="cannot be read"):
        check_label_file(path, grid, NAMES, INFO)


def test_half_a_file_is_refused(grid, mask, tmp_path):
    for suffix in (".nii.gz", ".nrrd", ".nii"):
        noisy = sitk.GetImageFromArray(np.random.RandomState(0).randint(0, 2, (8, 10, 12)).astype(np.uint8))
        path = write(noisy, tmp_path / f"label{suffix}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(LabelRefused, match="cannot be read"):
            check_label_file(path, grid, NAMES, INFO)


def test_other_file_types_are_refused(grid, tmp_path):
    path = tmp_path / "label.py"
    path.write_text("print()")
    with pytest.raises(LabelRefused, match="file of type"):
        check_label_file(path, grid, NAMES, INFO)


def test_file_that_unpacks_to_too_much_is_refused_by_its_header(grid, tmp_path):
    path = tmp_path / "label.nrrd"
    path.write_bytes(
        b"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 4000 4000 4000\nencoding: raw\nspace: left-posterior-superior\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: little\n\n"
    )
    with pytest.raises(LabelRefused, match="at most"):
        check_label_file(path, grid, NAMES, INFO)
