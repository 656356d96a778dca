"""A clinic that exports month by month into new folders, with one data set for all of them."""

import json

import pydicom
import pytest
from igtv.data.datalist import read_datalist


@pytest.fixture
def months(dicom, run_import, tmp_path):
    """January of A and B is imported; A has fold 3, a note and a label that somebody corrected; June of A has come."""
    folder = tmp_path / "data"
    dicom.patient(tmp_path / "jan" / "A", "A", frame="1.2.1")
    dicom.patient(tmp_path / "jan" / "B", "B")
    content = run_import(tmp_path / "jan", folder)
    label = folder / "A" / "corrected.nii.gz"
    label.write_bytes((folder / "A" / "label.nii.gz").read_bytes())
    for item, fold in zip(content["training"], (3, 0), strict=True):
        item["fold"] = fold
    content["training"][0] |= {"label": "A/corrected.nii.gz", "note": "baseline"}
    (folder / "dataset.json").write_text(json.dumps(content))
    dicom.patient(tmp_path / "jun", "A", frame="1.2.2", seed=1)
    for path in (entry for entry in (tmp_path / "jun").rglob("*") if entry.is_file()):
        dataset = pydicom.dcmread(path)
        dataset.StudyDate = "20200601"  # studies of one day would be in the order of their random UIDs
        dataset.save_as(path)
    return tmp_path


def scans(content):
    return {item["case"]: item["source"]["pet"]["study_uid"] for item in content["training"]}


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_earlier_scan_stays_with_what_belongs_to_it(months, run_import, caplog):
    folder = months / "data"
    before, january = files(folder / "A"), scans(json.loads((folder / "dataset.json").read_text()))
    content = run_import(months / "jun", folder)
    items = {item["case"]: item for item in content["training"]}
    assert list(items) == ["A", "A_2", "B"] and files(folder / "A") == before
    assert {case: scans(content)[case] for case in january} == january
    assert (items["A"]["label"], items["A"]["note"]) == ("A/corrected.nii.gz", "baseline")
    assert items["A_2"]["label"] == "A_2/label.nii.gz" and "note" not in items["A_2"]
    # one patient is in one fold
    assert [(case, items[case]["fold"]) for case in items] == [("A", 3), ("A_2", 3), ("B", 0)]
    assert {item.patient for item in read_datalist(folder / "dataset.json").training} == {"A", "B"}
    assert "case A_2: another scan of patient A" in caplog.text
    for month in ("jun", "jan", "jun"):
        assert run_import(months / month, folder) == content


def test_both_in_one_export_have_numbers_and_each_scan_is_listed_once_from_then_on(months, run_import):
    folder = months / "data"
    run_import(months / "jun", folder)
    (months / "all").mkdir()
    for month in ("jan", "jun"):
        (months / month).rename(months / "all" / month)
    content = run_import(months / "all", folder)
    items = {item["case"]: item for item in content["training"]}
    assert list(items) == ["A_1", "A_2", "B"] and len(set(scans(content).values())) == 3
    # the fold and the corrected label follow the scan to its new name
    assert (items["A_1"]["note"], items["A_1"]["label"]) == ("baseline", "A/corrected.nii.gz")
    assert run_import(months / "all" / "jan", folder) == content
    assert run_import(months / "all" / "jun", folder) == content


def test_a_file_taken_out_of_the_earlier_case_does_not_free_its_name(months, run_import):
    folder = months / "data"
    (folder / "A" / "overlay.png").unlink()
    content = run_import(months / "jun", folder)
    assert [item["case"] for item in content["training"]] == ["A_2", "B"]
    assert (folder / "A" / "corrected.nii.gz").is_file()
    # the patient's fold is known all the same
    assert [item["fold"] for item in content["training"]] == [3, 0]
