"""A NRRD header that names another file for its voxels is refused before anything opens that file."""

import pytest
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.labels.intake import check_label_file

NAMES, INFO = ("igtv",), [{"name": "igtv", "idx": 1}]


@pytest.fixture
def whole(mask, tmp_path) -> bytes:
    """A NRRD file with its voxels in it."""
    sitk.WriteImage(mask, str(tmp_path / "whole.nrrd"))
    return (tmp_path / "whole.nrrd").read_bytes()


@pytest.mark.parametrize("line", ["data file: {0}", "datafile: {0}", "DATA FILE:{0}", "data file: LIST\n{0}"])
@pytest.mark.parametrize("name", ["label.nrrd", "label.seg.nrrd", "label.nii"])
def test_voxels_of_another_file(grid, mask, whole, tmp_path, line, name):
    header, _, voxels = whole.partition(b"\n\n")
    (tmp_path / "voxels.raw").write_bytes(voxels)
    for end in (b"\n\n", b"\r\n\r\n", b"\n"):
        detached = header + b"\n" + line.format(tmp_path / "voxels.raw").encode() + end
        path = tmp_path / name
        path.write_bytes(detached)
        with pytest.raises(LabelRefused, match="must hold its voxels itself"):
            check_label_file(path, grid, NAMES, INFO)


def test_words_in_the_voxels_or_in_comments_are_no_header(grid, mask, whole, tmp_path):
    path = tmp_path / "label.nrrd"
    path.write_bytes(whole.replace(b"\n\n", b"\n# data file: none, all in here\n\n", 1))
    assert check_label_file(path, grid, NAMES, INFO).voxels == 24
