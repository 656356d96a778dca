"""A case that is made anew: what somebody put into its folder stays."""

import json
import os

import pytest
from igtv.dicom.case_folder import clear_leftovers, replace_folder


@pytest.fixture
def folders(tmp_path):
    """A case that the import made with a label, and the folder that is to take its place."""
    for name, text in (("A", "old"), (".importing-1", "new")):
        (tmp_path / name).mkdir()
        for file in ("ct.nii.gz", "label.nii.gz"):
            (tmp_path / name / file).write_text(text)
        case = {"importer": "igtv.dicom", "source": {"label": [], "pet": {}}}
        (tmp_path / name / "case.json").write_text(json.dumps(case | {"made": text}))
    (tmp_path / "A" / "motion.png").write_text("old")
    return tmp_path / ".importing-1", tmp_path / "A"


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_of_somebody_are_carried_over_and_those_of_the_import_are_not(folders):
    new, case = folders
    written = content(new)
    (case / "corrected.nii.gz").write_text("mine")
    (case / "notes").mkdir()
    (case / "notes" / "a.txt").write_text("mine too")
    (case / ".writing-xy.nii.gz").write_text("half")
    replace_folder(new, case)
    assert content(case) == written | {"corrected.nii.gz": "mine", "notes/a.txt": "mine too"}
    assert [path.name for path in case.parent.iterdir()] == ["A"]


def test_a_label_drawn_where_the_import_had_none_is_not_lost_when_one_comes(folders, caplog):
    new, case = folders
    (case / "case.json").write_text(json.dumps({"importer": "igtv.dicom", "source": {"pet": {}}}))
    (case / "label.nii.gz").write_text("mine")
    replace_folder(new, case)
    assert content(case)["label.nii.gz"] == "new" and content(case)["earlier_label.nii.gz"] == "mine"
    assert "your label.nii.gz is called earlier_label.nii.gz now" in caplog.text


def test_a_label_that_was_corrected_in_place_is_not_lost(folders, caplog):
    new, case = folders
    (case / "label.nii.gz").write_text("mine")
    (case / "earlier_label.nii.gz").write_text("mine of last year")
    record = (case / "case.json").stat().st_mtime
    os.utime(case / "label.nii.gz", (record, record + 3600))
    replace_folder(new, case)
    assert content(case)["label.nii.gz"] == "new"
    assert content(case)["earlier_label.nii.gz"] == "mine of last year"
    assert content(case)["earlier_earlier_label.nii.gz"] == "mine"
    assert not (case / "earlier_ct.nii.gz").exists()
    assert "your label.nii.gz is called earlier_earlier_label.nii.gz now" in caplog.text


def test_a_kill_between_the_two_moves_loses_nothing(folders):
    new, case = folders
    (case / "corrected.nii.gz").write_text("mine")
    before = content(case)
    aside = case.parent / ".replaced-1"
    aside.mkdir()
    case.rename(aside / "A")
    clear_leftovers(case.parent)
    assert [path.name for path in case.parent.iterdir()] == ["A"] and content(case) == before


def test_after_both_moves_the_earlier_folder_goes(folders):
    new, case = folders
    aside = case.parent / ".replaced-1"
    aside.mkdir()
    case.rename(aside / "A")
    new.rename(case)
    clear_leftovers(case.parent)
    assert [path.name for path in case.parent.iterdir()] == ["A"] and content(case)["ct.nii.gz"] == "new"
