"""From the settings of a verb to checked cases: what is refused before anything expensive starts."""

import json
from pathlib import Path

import numpy as np
import pytest
from igtv.data.prepare import make_phantom_where_asked, prepare_cases

from .conftest import CT_SHAPE


@pytest.fixture
def dataset_dir(make_case, tmp_path):
    """Two patients with IGTV contours, one of which validates."""
    cases = [make_case(name) for name in ("P1", "P2")]
    items = [
        {key: case[key] for key in ("ct", "pet", "label")} | {"patient_id": case["case"], "label_kind": "igtv"}
        for case in cases
    ]
    lists = {"training": items[:1], "validation": items[1:]}
    (tmp_path / "dataset.json").write_text(json.dumps(lists), encoding="utf-8")
    return tmp_path


def prepared(dataset_dir: Path, task: str | None) -> dict[str, list]:
    return prepare_cases(dataset_dir, dataset_dir / "dataset.json", fold=0, task=task)


def test_a_folder_alone_means_its_dataset_json(dataset_dir):
    parts = prepare_cases(dataset_dir, None, fold=0)
    assert [case["ct"] for case in parts["training"]] == [str(dataset_dir / "P1" / "ct.nii.gz")]


def test_the_phantom_is_made_only_where_folder_and_datalist_are_its_own(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("igtv.data.prepare.ensure_phantom_dataset", lambda **arguments: made.append(arguments))
    home, phantom = tmp_path / "phantom", {"dataset_dir": str(tmp_path / "phantom"), "task": "gtv"}
    for folder, datalist in ((home, tmp_path / "list.json"), (tmp_path, None), (tmp_path, tmp_path / "list.json")):
        make_phantom_where_asked(folder, datalist, phantom)
    make_phantom_where_asked(home, None, None)
    assert made == []
    make_phantom_where_asked(home, None, phantom)
    make_phantom_where_asked(home, home / "dataset.json", phantom)
    assert made == [phantom, phantom]


def test_a_gtv_model_does_not_learn_from_igtv_contours(dataset_dir):
    with pytest.raises(ValueError, match="task is 'gtv', but 2 of 2 cases .* the first: P1.*--task igtv"):
        prepared(dataset_dir, "gtv")


@pytest.mark.parametrize("task", ["igtv", None])
def test_an_igtv_model_does_and_any_model_is_measured_on_them(dataset_dir, task):
    parts = prepared(dataset_dir, task)
    assert [case["case"] for case in parts["training"] + parts["validation"]] == ["P1", "P2"]


def test_breathing_is_not_put_into_igtv_contours(dataset_dir):
    """It would learn the union of unions as the truth; contours of unknown kind are taken as the user says."""
    settings = {"fold": 0, "task": "igtv", "breathing_probability": 0.5}
    with pytest.raises(ValueError, match="breathing_probability is above 0, but 1 of 1 training cases .* P1"):
        prepare_cases(dataset_dir, dataset_dir / "dataset.json", **settings)
    content = json.loads((dataset_dir / "dataset.json").read_text())
    content["training"][0]["label_kind"] = "gtv"
    (dataset_dir / "dataset.json").write_text(json.dumps(content))
    assert len(prepare_cases(dataset_dir, dataset_dir / "dataset.json", **settings)["training"]) == 1


def with_kinds(dataset_dir, make_case, *kinds):
    """Training cases with these contours (None: the datalist does not say), and one GTV case that validates."""
    cases = [make_case(f"T{number}") for number in range(len(kinds))] + [make_case("V")]
    items = [{key: case[key] for key in ("ct", "pet", "label")} for case in cases]
    for item, kind in zip(items, (*kinds, "gtv"), strict=True):
        item |= {} if kind is None else {"label_kind": kind}
    lists = {"training": items[:-1], "validation": items[-1:]}
    (dataset_dir / "dataset.json").write_text(json.dumps(lists), encoding="utf-8")
    return dataset_dir


def test_gtv_contours_alone_make_no_igtv_model(dataset_dir, make_case):
    folder = with_kinds(dataset_dir, make_case, "gtv", "gtv")
    ways_out = "--task gtv, .*--breathing_probability 1.*`label_kind`"
    with pytest.raises(ValueError, match=f"task is 'igtv', but 2 of 2 training cases .* the first: T0.*{ways_out}"):
        prepared(folder, "igtv")
    for task, breathing in (("igtv", 1.0), ("gtv", 0.0), (None, 0.0)):
        parts = prepare_cases(folder, None, fold=0, task=task, breathing_probability=breathing)
        assert [case["case"] for case in parts["training"]] == ["T0", "T1"]


@pytest.mark.parametrize("other", ["igtv", None])
def test_some_gtv_contours_are_told(dataset_dir, make_case, caplog, other):
    parts = prepared(with_kinds(dataset_dir, make_case, "gtv", other), "igtv")
    assert [case["case"] for case in parts["training"]] == ["T0", "T1"]
    assert "1 of 2 training cases" in caplog.text and "hold GTV contours" in caplog.text and "T0" in caplog.text


def test_contours_of_unknown_kind_are_taken_as_the_user_says(dataset_dir, make_case, caplog):
    parts = prepared(with_kinds(dataset_dir, make_case, None, None), "igtv")
    assert len(parts["training"]) == 2 and "contours" not in caplog.text


@pytest.mark.parametrize(("negatives", "told"), [((), False), (("V0",), False), (("V0", "V1"), True)])
def test_a_validation_without_any_tumour_is_told(tmp_path, make_case, caplog, negatives, told):
    """Its Dice cannot choose an epoch; where one case has a tumour, that one chooses."""
    items = {}
    for name in ("T", "V0", "V1"):
        empty = {"label": np.zeros(CT_SHAPE, np.uint8)} if name in negatives else {}
        case = make_case(name, **empty)
        items[name] = {key: case[key] for key in ("ct", "pet", "label")} | ({"no_tumour": True} if empty else {})
    lists = {"training": [items["T"]], "validation": [items["V0"], items["V1"]]}
    (tmp_path / "dataset.json").write_text(json.dumps(lists), encoding="utf-8")
    prepare_cases(tmp_path, None, fold=0, task="gtv")
    assert ("none of the 2 validation cases has a tumour" in caplog.text) == told
    caplog.clear()
    prepare_cases(tmp_path, None, fold=0)  # nothing is trained
    assert "validation cases" not in caplog.text


def test_only_what_a_verb_uses_is_read(dataset_dir):
    """A damaged case of another part stops nothing."""
    label = dataset_dir / "P1" / "label.nii.gz"
    label.write_bytes(b"cut off")
    settings = {"fold": 0, "task": "igtv"}
    with pytest.raises(ValueError, match="P1: label .* cannot be read"):
        prepare_cases(dataset_dir, dataset_dir / "dataset.json", **settings)
    parts = prepare_cases(dataset_dir, dataset_dir / "dataset.json", **settings, checked_parts=["validation"])
    assert [case["case"] for case in parts["training"]] == ["P1"] and parts["left_out"] == []


def test_what_is_left_out_says_from_which_part(dataset_dir, make_case):
    listed = json.loads((dataset_dir / "dataset.json").read_text())
    for name, part in (("T2", "training"), ("V2", "validation")):
        case = make_case(name, label=np.zeros(CT_SHAPE, np.uint8))
        listed[part].append({key: case[key] for key in ("ct", "pet", "label")})
    (dataset_dir / "dataset.json").write_text(json.dumps(listed), encoding="utf-8")
    left_out = prepare_cases(dataset_dir, None, fold=0, skip_bad_cases=True)["left_out"]
    assert [(bad.case, bad.part) for bad in left_out] == [("T2", "training"), ("V2", "validation")]


def test_a_testing_list_that_is_measured_needs_labels(dataset_dir, make_case):
    """As an import leaves it, which lists cases without label there; for other verbs they are no hindrance."""
    listed = json.loads((dataset_dir / "dataset.json").read_text())
    keys = {"T1": ("ct", "pet", "label"), "T2": ("ct", "pet")}
    listed["testing"] = [{key: make_case(name)[key] for key in keys[name]} for name in keys]
    (dataset_dir / "dataset.json").write_text(json.dumps(listed), encoding="utf-8")
    settings = {"fold": 0, "checked_parts": ["testing"]}
    with pytest.raises(ValueError, match=r"1 of 2 cases .*\n  T2: it has no `label` in the datalist\n.*skip_bad_cases"):
        prepare_cases(dataset_dir, None, **settings)
    parts = prepare_cases(dataset_dir, None, skip_bad_cases=True, **settings)
    assert [case["case"] for case in parts["testing"]] == ["T1"]
    assert [(bad.case, bad.part) for bad in parts["left_out"]] == [("T2", "testing")]
    assert len(prepare_cases(dataset_dir, None, fold=0)["testing"]) == 2
