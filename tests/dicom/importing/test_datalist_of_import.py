"""Which list a case is in when patients come again, with and without labels."""

import json
from pathlib import Path

import pytest
from igtv.data.datalist import read_datalist
from igtv.dicom.import_datalist import write_datalist


def facts(patient, scan, label=True):
    """What a case says of itself."""
    source = {"ct": [{"series_uid": f"{scan}.1"}], "pet": {"series_uid": scan, "study_uid": f"{scan}.0"}}
    found = {"patient_id": patient, "ct_kind": "average", "source": source}
    if label:
        source["label"] = [{"series_uid": f"{scan}.2"}]
        found["label_kind"] = "igtv"
    return found


@pytest.fixture
def listed(tmp_path):
    """`listed(cases)` -> list -> names of its cases, in a datalist that the other verbs accept."""

    def run(**cases):
        path = write_datalist(tmp_path, cases, "test")
        read_datalist(path)
        content = json.loads(path.read_text())
        return {
            part: [item["ct"].split("/")[0] for item in content[part]] for part in ("training", "validation", "testing")
        }

    return run


def test_cases_keep_the_names_of_their_folders(listed, tmp_path):
    """The first of three scans cannot be imported; the others are not called by its number then."""
    listed(P_2=facts("P", "2"), P_3=facts("P", "3"))
    items = read_datalist(tmp_path / "dataset.json").training
    assert [(item.case, Path(item.ct).parent.name) for item in items] == [("P_2", "P_2"), ("P_3", "P_3")]


def test_a_label_that_is_there_no_more_leaves_the_entry(listed, tmp_path):
    listed(P=facts("P", "1"))
    assert listed(P=facts("P", "1", label=False))["testing"] == ["P"]
    (item,) = read_datalist(tmp_path / "dataset.json").testing
    assert item.label is None and item.label_kind == ""


def edit(folder, change):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def to_part(part, *cases):
    """Move cases of `training` to another list."""

    def change(content):
        moved = [item for item in content["training"] if item["ct"].split("/")[0] in cases]
        content["training"] = [item for item in content["training"] if item not in moved]
        content[part] += moved

    return change


def test_an_unlabelled_follow_up_of_a_training_patient_is_not_listed(listed, caplog):
    cases = {"A_1": facts("A", "1"), "A_2": facts("A", "2", label=False), "B": facts("B", "3", label=False)}
    assert listed(**cases) == {"training": ["A_1"], "validation": [], "testing": ["B"]}
    assert "A_2 has no label and is not listed" in caplog.text
    first_unlabelled = {"A_1": facts("A", "1", label=False), "A_2": facts("A", "2")}
    assert listed(**first_unlabelled)["training"] == ["A_2"]


def test_labels_that_come_later_take_the_patient_out_of_testing(listed):
    assert listed(A_1=facts("A", "1", label=False))["testing"] == ["A_1"]
    cases = {"A_1": facts("A", "1", label=False), "A_2": facts("A", "2")}
    assert listed(**cases) == {"training": ["A_2"], "validation": [], "testing": []}
    cases["A_1"] = facts("A", "1")
    assert listed(**cases)["training"] == ["A_1", "A_2"]


@pytest.mark.parametrize("part", ["validation", "testing"])
def test_a_new_case_joins_the_list_that_people_chose_for_its_patient(listed, tmp_path, part):
    cases = {"A_2": facts("A", "2"), "B": facts("B", "3")}
    listed(**cases)
    edit(tmp_path, to_part(part, "A_2"))
    assert listed(A_1=facts("A", "1"), A_3=facts("A", "4", label=False), **cases) == {
        "validation": [],
        "testing": [],
        "training": ["B"],
    } | {part: ["A_1", "A_2"] if part == "validation" else ["A_1", "A_3", "A_2"]}


def test_list_fold_and_own_keys_follow_the_scan_to_its_new_name(listed, tmp_path):
    listed(A=facts("A", "1"), B=facts("B", "3"))

    def give_folds(content):
        for fold, item in enumerate(content["training"]):
            item |= {"fold": fold + 1, "centre": item["patient_id"]}

    edit(tmp_path, give_folds)
    assert listed(A_1=facts("A", "0"), A_2=facts("A", "1"), B=facts("B", "3"))["training"] == ["A_1", "A_2", "B"]
    items = {item["ct"][:3]: item for item in json.loads((tmp_path / "dataset.json").read_text())["training"]}
    assert [items[case]["fold"] for case in ("A_1", "A_2", "B/c")] == [1, 1, 2]
    assert items["A_2"]["centre"] == "A" and "centre" not in items["A_1"]


def test_names_that_move_on_by_one_keep_what_belongs_to_the_scan(listed, tmp_path):
    """An older study arrives: A_1 is another scan now, and the former A_1 is called A_2."""
    listed(A_1=facts("A", "1"), A_2=facts("A", "2"))

    def note(content):
        for item in content["training"]:
            item["note"] = item["source"]["pet"]["series_uid"]

    edit(tmp_path, note)
    listed(A_1=facts("A", "0"), A_2=facts("A", "1"), A_3=facts("A", "2"))
    items = json.loads((tmp_path / "dataset.json").read_text())["training"]
    assert [item.get("note") for item in items] == [None, "1", "2"]


def test_another_pet_under_the_same_name_keeps_the_entry(listed, tmp_path):
    listed(A=facts("A", "1"), B=facts("B", "3"))
    edit(tmp_path, to_part("validation", "A"))
    assert listed(A=facts("A", "9"), B=facts("B", "3"))["validation"] == ["A"]


@pytest.fixture
def three(dicom, run_import, tmp_path):
    """Labelled A and B and unlabelled C, imported; `three()` imports again what lies in `dicom`."""
    for patient in "ABC":
        dicom.patient(tmp_path / "dicom" / patient, patient, label=patient != "C")
    run_import(tmp_path / "dicom", tmp_path / "data")
    return lambda **options: run_import(tmp_path / "dicom", tmp_path / "data", **options)


def names(content):
    return {part: [item.get("case") for item in content[part]] for part in ("training", "testing")}


def take_out(*cases):
    def change(content):
        for part in ("training", "testing"):
            content[part] = [item for item in content[part] if item["case"] not in cases]

    return change


def test_a_case_taken_out_stays_out_until_its_name_is_taken_out_of_left_out(three, tmp_path, caplog):
    edit(tmp_path / "data", take_out("B", "C"))
    for options in ({}, {"kind": "gtv"}, {}):  # another option makes all cases anew
        content = three(**options)
        assert names(content) == {"training": ["A"], "testing": []} and content["left_out"] == ["B", "C"]
    assert "taken out of dataset.json: B, C; to have one back, take its name out of `left_out`" in caplog.text
    assert (tmp_path / "data" / "B" / "ct.nii.gz").is_file()
    edit(tmp_path / "data", lambda content: content["left_out"].remove("B"))
    content = three()
    assert names(content) == {"training": ["A", "B"], "testing": []} and content["left_out"] == ["C"]
    edit(tmp_path / "data", lambda content: content.pop("left_out"))
    assert names(three()) == {"training": ["A", "B"], "testing": ["C"]}


def test_an_entry_put_back_by_hand_is_no_longer_left_out(three, tmp_path):
    (entry,) = [item for item in three()["training"] if item["case"] == "B"]
    edit(tmp_path / "data", take_out("B"))
    assert three()["left_out"] == ["B"]
    edit(tmp_path / "data", lambda content: content["training"].append(entry | {"note": "looked at"}))
    content = three()
    assert "left_out" not in content and content["training"][1] == entry | {"note": "looked at"}


def test_a_scan_taken_out_stays_out_under_its_new_name(three, dicom, tmp_path):
    edit(tmp_path / "data", take_out("B"))
    three()
    dicom.patient(tmp_path / "dicom" / "later", "B", frame="1.2.9", seed=2)
    content = three()
    (out,) = content["left_out"]
    (listed,) = set(names(content)["training"]) - {"A"}
    assert {out, listed} == {"B_1", "B_2"}
    study = json.loads((tmp_path / "data" / "B" / "case.json").read_text())["source"]["pet"]["study_uid"]
    assert json.loads((tmp_path / "data" / out / "case.json").read_text())["source"]["pet"]["study_uid"] == study


def test_a_new_datalist_lists_all_cases(three, tmp_path):
    edit(tmp_path / "data", take_out("B"))
    three()
    (tmp_path / "data" / "dataset.json").unlink()
    assert names(three()) == {"training": ["A", "B"], "testing": ["C"]}


def test_a_case_that_could_not_be_imported_once_was_not_taken_out(three, tmp_path):
    missing = sorted((tmp_path / "dicom" / "B").glob("*_5"))[0]
    missing.rename(tmp_path / "slice")
    assert names(three())["training"] == ["A"]
    (tmp_path / "slice").rename(missing)
    assert names(three())["training"] == ["A", "B"]


def test_entries_of_others_and_a_corrected_label_stay(three, tmp_path):
    data = tmp_path / "data"
    (data / "A" / "corrected.nii.gz").write_bytes((data / "A" / "label.nii.gz").read_bytes())
    other = {"ct": "/data/x/ct.nii.gz", "pet": "/data/x/pet.nii.gz", "label": "/data/x/l.nii.gz", "patient_id": "x"}

    def change(content):
        content["training"][0]["label"] = "A/corrected.nii.gz"
        content["training"].append(other)

    edit(data, change)
    before = (data / "A" / "label.nii.gz").stat().st_mtime_ns
    for options in ({}, {"kind": "gtv"}):
        content = three(**options)
        assert content["training"][-1] == other and names(content)["training"] == ["A", "B", None]
        assert content["training"][0]["label"] == "A/corrected.nii.gz"
        read_datalist(data / "dataset.json")
    assert (data / "A" / "label.nii.gz").stat().st_mtime_ns > before, "the case was made anew"
    assert (data / "A" / "corrected.nii.gz").is_file()


def test_a_new_case_joins_list_and_fold_of_an_entry_of_others(listed, tmp_path):
    listed(A=facts("A", "1"))

    def change(content):
        content["training"][0]["fold"] = 0
        content["training"].append({"ct": "/x/ct.nii.gz", "pet": "/x/pet.nii.gz", "patient_id": "B", "fold": 4})

    edit(tmp_path, change)
    listed(A=facts("A", "1"), B=facts("B", "2"))
    assert [item["fold"] for item in json.loads((tmp_path / "dataset.json").read_text())["training"]] == [0, 4, 4]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace('"testing"', ',"testing"'), r"dataset.json is not valid JSON, line 1, column \d+: "),
        (
            lambda text: text.replace('"training"', '"training": 5, "was"'),
            "something else under `training` than a list",
        ),
        (lambda text: '["igtv.dicom"]', "holds a list where an object"),
        (lambda text: text.replace("igtv.dicom", 'igtv.dicom", "note": "M\xfcller'), "is not UTF-8, line 1"),
    ],
)
def test_a_slip_in_the_datalist_is_said_before_anything_is_read(three, tmp_path, monkeypatch, spoil, said):
    path = tmp_path / "data" / "dataset.json"
    edit(tmp_path / "data", lambda content: None)  # on one line
    path.write_bytes(spoil(path.read_text()).encode("latin-1"))
    monkeypatch.setattr("igtv.dicom.import_dataset.find_series", lambda *_: pytest.fail("DICOM was read"))
    with pytest.raises(ValueError, match=f"{said}.*Correct it there, or move the file away"):
        three()


def test_a_datalist_saved_by_a_windows_editor_is_read(three, tmp_path):
    path = tmp_path / "data" / "dataset.json"
    before = json.loads(path.read_text())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert three() == before


def test_a_second_study_renames_the_case_and_the_scan_is_listed_once(dicom, run_import, tmp_path, caplog):
    source, folder = tmp_path / "dicom", tmp_path / "data"
    dicom.patient(source / "1", "A", frame="1.2.1")
    dicom.patient(source / "b", "B")
    run_import(source, folder)
    edit(folder, to_part("validation", "A"))
    dicom.patient(source / "2", "A", frame="1.2.2", label=False)
    content = run_import(source, folder)
    assert [item["ct"] for item in content["training"]] == ["B/ct.nii.gz"] and content["testing"] == []
    (item,) = content["validation"]
    assert item["ct"] in ("A_1/ct.nii.gz", "A_2/ct.nii.gz") and "label" in item
    assert (folder / "A" / "ct.nii.gz").is_file() and "case A is now called A_" in caplog.text
    read_datalist(folder / "dataset.json")
    table = (folder / "cases.csv").read_text()
    assert "A_1," in table and "A_2," in table
