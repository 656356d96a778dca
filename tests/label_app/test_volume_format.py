"""Only the two formats that are asked for are ever decoded, whatever a file is called."""

import gzip

import pytest
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.labels.intake import check_label_file
from lib.server.errors import RequestError
from lib.server.volumes import check_volume
from lib.volume_format import volume_reader

OTHERS = ["other.mha", "other.tif", "other.hdf5", "other.vtk", "other.gipl"]
NAMES = ["label.nii", "label.nii.gz", "label.nrrd", "label.seg.nrrd"]


@pytest.fixture
def image() -> sitk.Image:
    made = sitk.Image(6, 5, 4, sitk.sitkUInt8)
    made[2:4, 2:4, 1:3] = 1
    made.SetSpacing([1.0, 2.0, 3.0])
    return made


@pytest.mark.parametrize("name", NAMES)
def test_what_the_name_says_is_read(image, tmp_path, name):
    sitk.WriteImage(image, str(tmp_path / name), True)
    assert sitk.Hash(volume_reader(tmp_path / name).Execute()) == sitk.Hash(image)
    check_volume(tmp_path / name)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_other_formats_under_these_names_are_refused(image, tmp_path, other, name):
    sitk.WriteImage(image, str(tmp_path / other))
    content, path = (tmp_path / other).read_bytes(), tmp_path / name
    for packed in (content, gzip.compress(content)):
        path.write_bytes(packed)
        refused(path, image)


def test_one_of_the_two_under_the_name_of_the_other_is_refused(image, tmp_path):
    for written, name in (("a.nrrd", "b.nii"), ("a.nii", "b.nrrd"), ("a.nii.gz", "b.nii"), ("a.nii", "b.nii.gz")):
        sitk.WriteImage(image, str(tmp_path / written))
        (tmp_path / name).write_bytes((tmp_path / written).read_bytes())
        refused(tmp_path / name, image)


def test_a_header_whose_voxels_are_in_another_file_is_refused(image, tmp_path):
    sitk.WriteImage(image, str(tmp_path / "pair.img"))
    (tmp_path / "pair.nii").write_bytes((tmp_path / "pair.hdr").read_bytes() + bytes(1000))
    refused(tmp_path / "pair.nii", image)


def refused(path, image):
    with pytest.raises(ValueError, match="as its name says"):
        volume_reader(path)
    with pytest.raises(LabelRefused, match="of another type than its name says"):
        check_label_file(path, image, ("igtv",), [{"name": "igtv", "idx": 1}])
    with pytest.raises(RequestError, match="cannot be read as a NIfTI or NRRD volume"):
        check_volume(path)
