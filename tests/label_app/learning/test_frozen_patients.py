"""Which patients no training sees: chosen once, or given, and never learned from."""

import json
import shutil
import threading

import numpy as np
import pytest
from igtv.learning.frozen_set import read_frozen_set
from lib.learning.labelled_cases import labelled_cases, open_frozen_set
from lib.options import AppOptions
from lib.studies.pacs import PacsError

from .six_cases import PATIENTS, Datastore, finished


def test_what_cannot_be_measured_is_not_frozen(app, caplog):
    """It would stop every later training: the set is made once."""
    store = app.datastore()
    bad = store.folder / "p0" / "pet.nii.gz"
    store._save(bad, np.full((4, 4, 4), np.nan, np.float32))
    shutil.copy(store.folder / "p3" / "label.nii.gz", store.folder / "p4" / "label.nii.gz")
    cases, _, _ = labelled_cases(store, threading.Event())
    cases[4]["no_tumour"] = False
    frozen = open_frozen_set(app.folders.learning / "frozen", cases, 0.4)
    assert len(frozen.patients) == 2 and "p0" not in frozen.patients and "p0: pet" in caplog.text
    given = store.folder / "given.json"
    items = [{key: f"{name}/{key}.nii.gz" for key in ("ct", "pet", "label")} for name in ("p0", "p1")]
    given.write_text(json.dumps({"validation": items}))
    with pytest.raises(ValueError, match="1 of 2 cases of the frozen set given.json cannot be measured: p0: "):
        open_frozen_set(app.folders.learning / "other", cases, 0.4, str(given))


def test_a_training_takes_the_labels_and_freezes_patients_once(app, cycle):
    record = app.learning.start("igtv", {"max_epochs": "3", "device": "cpu", "user": "anna"})
    assert record["status"] in ("SUBMITTED", "RUNNING")
    done = finished(app)
    assert done["status"] == "DONE" and "igtv v0002 accepted: better" in done["details"][-1]
    call = cycle.calls[0]
    assert [case["case"] for case in call["cases"]] == ["p0", "p1", "p2", "p3", "p4"]  # p5 has no PET
    assert [case["case"] for case in call["cases"] if case["no_tumour"]] == ["p4"]  # learned from as a negative
    assert call["left_out"] == {"p5": "case p5 has no PET"} and app.datastore().refreshed == 1
    assert call["user"] == "anna" and call["settings"].finetuning == {"epochs": 3, "device": "cpu"}
    assert call["settings"].own_process
    frozen = read_frozen_set(app.folders.learning / "frozen")
    assert len(frozen.patients) == 2 and "p4" not in frozen.patients  # no tumour: Dice says nothing
    app.learning.start("igtv", {})
    finished(app)
    assert cycle.calls[1]["frozen"].sha256 == frozen.sha256


def test_a_frozen_set_of_the_user(app, cycle, tmp_path):
    item = {key: f"p3/{key}.nii.gz" for key in ("ct", "pet", "label")} | {"patient_id": "p3"}
    (tmp_path / "cases" / "held_out.json").write_text(json.dumps({"validation": [item]}))
    app.options = AppOptions(frozen_set=str(tmp_path / "cases" / "held_out.json"), gate_margin=0.02)
    app.learning.run({})
    assert cycle.calls[0]["frozen"].patients == {"p3"}
    assert cycle.calls[0]["settings"].rule.margin == 0.02


@pytest.mark.parametrize("part", ["training", "validation", "testing"])
def test_a_given_frozen_set_of_gtv_contours_is_refused(app, cycle, part):
    """Where the datalist does not say the kind, it counts as right."""
    given = app.datastore().folder / "held_out.json"
    items = [{key: f"{name}/{key}.nii.gz" for key in ("ct", "pet", "label")} for name in ("p1", "p2", "p3")]
    items[0]["label_kind"], items[1]["label_kind"] = "gtv", "igtv"
    given.write_text(json.dumps({part: items}))
    app.options = AppOptions(frozen_set=str(given))
    with pytest.raises(ValueError, match="1 of 3 cases of the frozen set held_out.json hold GTV contours .*: p1. The"):
        app.learning.run({})
    assert not cycle.calls and not (app.folders.learning / "frozen").exists()
    given.write_text(json.dumps({part: items[1:]}))
    app.learning.run({})
    assert cycle.calls[0]["frozen"].patients == {"p2", "p3"}


def test_a_patient_told_after_the_freezing_stays_frozen(app, cycle, monkeypatch):
    app.learning.run({})
    frozen = cycle.calls[0]["frozen"]
    one = sorted(frozen.patients)[0]
    other = next(name for name in PATIENTS if name not in frozen.patients)
    labels = [
        entry | {"patient_id": "P7" if entry["image"] in (one, other) else entry["patient_id"]}
        for entry in app.datastore().final_labels()
    ]
    monkeypatch.setattr(app.datastore(), "final_labels", lambda: labels)
    app.learning.run({})
    patients = {case["case"]: case["patient"] for case in cycle.calls[1]["cases"]}
    assert patients[one] == patients[other] == one
    assert frozen.leak(next(case for case in cycle.calls[1]["cases"] if case["case"] == other))


def test_another_frozen_set_of_the_user_is_not_silently_ignored(app, cycle, tmp_path):
    def give(name):
        item = {key: f"{name}/{key}.nii.gz" for key in ("ct", "pet", "label")} | {"patient_id": name}
        (tmp_path / "cases" / "held_out.json").write_text(json.dumps({"validation": [item]}))

    app.options = AppOptions(frozen_set=str(tmp_path / "cases" / "held_out.json"))
    give("p3")
    app.learning.run({})
    app.learning.run({})  # the same set again
    give("p2")
    with pytest.raises(ValueError, match=r"not that of held_out.json \(they differ in p2, p3\)"):
        app.learning.run({})
    assert len(cycle.calls) == 2


def test_no_frozen_set_is_made_while_the_pacs_does_not_answer(app, cycle, monkeypatch):
    store, gone = app.datastore(), [True]

    def case(name):
        if name == "p1" and gone:
            raise PacsError("the PACS does not answer")
        return Datastore.case(store, name)

    monkeypatch.setattr(store, "case", case)
    with pytest.raises(ValueError, match=r"made once.*\(p1\): train when they can be"):
        app.learning.run({})
    assert not (app.folders.learning / "frozen").exists()
    gone.clear()
    app.learning.run({})
    assert len(cycle.calls) == 1


def test_labels_of_undecided_studies_are_said_and_no_frozen_set_is_made_without_them(app, cycle, monkeypatch):
    """The study of p0 is decided only after the first attempt."""
    store = app.datastore()
    waiting = ["p0"]
    labels = Datastore.final_labels(store)
    monkeypatch.setattr(store, "undecided_labels", lambda: list(waiting))
    monkeypatch.setattr(store, "final_labels", lambda: [one for one in labels if one["image"] not in waiting])
    with pytest.raises(ValueError, match=r"made once.*\(p0\): train when they can be"):
        app.learning.run({})
    waiting.clear()
    app.learning.run({})
    waiting.append("p0")
    app.learning.run({})
    assert [one["case"] for one in cycle.calls[1]["cases"]] == ["p1", "p2", "p3", "p4"]
    assert "has not told yet which PET" in cycle.calls[1]["left_out"]["p0"]
