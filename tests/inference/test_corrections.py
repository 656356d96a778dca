"""What a person changed is told by the manifest and gets a name of its own."""

import json

import pytest
from igtv.files import file_sha256
from igtv.inference.corrections import keep_corrections


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "P1"
    folder.mkdir()
    for name in ("pred.nii.gz", "lesions.nii.gz"):
        (folder / name).write_bytes(b"by the network")
    masks = {name: {"sha256": file_sha256(folder / name)} for name in ("pred.nii.gz", "lesions.nii.gz")}
    (folder / "manifest.json").write_text(json.dumps({"command": "inferring", "masks": masks}))
    return folder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_what_the_network_wrote_stays_where_it_is(case):
    assert keep_corrections(case) == []
    assert names(case) == ["lesions.nii.gz", "manifest.json", "pred.nii.gz"]


def test_each_correction_gets_a_name_of_its_own(case, caplog):
    for text in (b"first", b"second"):
        (case / "pred.nii.gz").write_bytes(text)
        keep_corrections(case)
    assert (case / "pred_corrected.nii.gz").read_bytes() == b"first"
    assert (case / "pred_corrected_2.nii.gz").read_bytes() == b"second"
    assert names(case) == ["lesions.nii.gz", "manifest.json", "pred_corrected.nii.gz", "pred_corrected_2.nii.gz"]
    assert "Case P1: pred.nii.gz was changed since it was made and is kept as pred_corrected.nii.gz" in caplog.text


def test_a_mask_that_the_last_run_did_not_write_is_somebodys(case):
    manifest = json.loads((case / "manifest.json").read_text())
    del manifest["masks"]["lesions.nii.gz"]
    (case / "manifest.json").write_text(json.dumps(manifest))
    assert keep_corrections(case) == [case / "lesions_corrected.nii.gz"]


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"masks": 3}'])
def test_what_a_run_that_was_cut_off_left_is_no_correction(case, manifest):
    """The manifest is written last."""
    (case / "manifest.json").unlink()
    if manifest is not None:
        (case / "manifest.json").write_text(manifest)
    (case / "pred.nii.gz").write_bytes(b"half")
    assert keep_corrections(case) == []


def test_a_new_folder_has_none(tmp_path):
    assert keep_corrections(tmp_path / "P2") == []
