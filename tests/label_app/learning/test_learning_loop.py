"""The app's training: what it takes from clients, what it shows them, how it ends. The cycle itself is a stand-in."""

import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.dicom.errors import DicomError
from igtv.files import file_sha256
from igtv.learning.cycle import CycleFailed, CycleStopped, cycle_folder
from igtv.learning.frozen_set import read_frozen_set
from igtv.learning.model_version import ModelVersion
from igtv.learning.registry import ModelRegistry
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import write_model_card
from lib.learning import learning_loop
from lib.learning.labelled_cases import labelled_cases, open_frozen_set
from lib.learning.learning_loop import LearningLoop
from lib.learning.models import open_models
from lib.learning.tasks import LearnFromLabels, create_trainers
from lib.options import AppOptions
from lib.paths import DataFolders, data_folders
from lib.server.errors import RequestError
from lib.studies.data_folder import looking
from lib.studies.errors import PetMissing
from lib.studies.pacs import PacsError

from ..waiting import wait_for

PREPARED = {"spacing_mm": (3.0, 3.0, 3.0), "hu_window": (-100, 160), "suv_range": (0, 15)}
PATIENTS = ["p0", "p1", "p2", "p3", "p4", "p5"]


class Datastore:
    """Six labelled cases, one of them without PET, one without tumour."""

    def __init__(self, folder: Path):
        self.folder = folder
        random = np.random.RandomState(0)
        for name in PATIENTS:
            (folder / name).mkdir(parents=True)
            for key, low, high in (("ct", -900, 100), ("pet", 0, 9)):  # HU, SUV
                self._save(folder / name / f"{key}.nii.gz", random.uniform(low, high, (4, 4, 4)).astype(np.float32))
            mask = (random.rand(4, 4, 4) > 0.5).astype(np.uint8) * (name != "p4")
            self._save(folder / name / "label.nii.gz", mask)

    @staticmethod
    def _save(path, values):
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)

    def final_labels(self):
        return [
            {
                "image": name,
                "patient_id": name,
                "label": str(self.folder / name / "label.nii.gz"),
                "no_tumour": name == "p4",
                "version": 1,
            }
            for name in PATIENTS
        ]

    def refresh(self):
        self.refreshed = getattr(self, "refreshed", 0) + 1

    def undecided_labels(self):
        return []

    def case(self, image_id):
        if image_id == "p5":
            raise PetMissing("case p5 has no PET")
        return {"case": image_id, "patient_id": image_id} | {
            key: str(self.folder / image_id / f"{key}.nii.gz") for key in ("ct", "pet")
        }


@pytest.fixture
def app(tmp_path, bundle_dir):
    made = SimpleNamespace(
        options=AppOptions(), folders=data_folders(str(tmp_path)).make(), bundle_dir=bundle_dir, learning=None
    )
    store = Datastore(tmp_path / "cases")
    made.datastore = lambda: store
    made.models = open_models(made)
    create_trainers(made)
    return made


@pytest.fixture
def cycle(monkeypatch, app):
    """Stand-in for `run_cycle`: `cycle.calls` holds what it was given; `cycle.behave` does its work."""
    record = SimpleNamespace(calls=[], behave=lambda **given: None)

    def run(registry, cases, frozen, work_dir, settings, **given):
        record.calls.append({"cases": cases, "frozen": frozen, "settings": settings, **given})
        given["progress"].start(phase="collecting")
        record.behave(**given)
        decision = {"accepted": True, "reasons": ["better"], "dice": {"current": 0.4, "candidate": 0.6}}
        given["progress"].update(state="done", version=2, accepted=True, reasons=["better"], dice=decision["dice"])
        first = registry.current()
        return ModelVersion("igtv", 2, first.path, first.card, first.sha256, {}, "accepted", {}, decision)

    monkeypatch.setattr(learning_loop, "run_cycle", run)
    return record


def finished(app):
    wait_for(lambda: app.learning.running() is None)
    return app.learning.status()


def test_stand_in_is_as_the_datastore(unlike_datastore):
    assert unlike_datastore(Datastore) == []


def test_each_model_starts_from_its_shipped_weights(app):
    gtv, igtv = app.models["gtv"].current(), app.models["igtv"].current()
    assert gtv.card["task"] == "gtv" and igtv.card["task"] == "igtv"


@pytest.fixture
def own_model(tmp_path):
    """A checkpoint of the user's, of another network than the shipped one."""
    path, network = tmp_path / "own.pt", {"variant": "nano", "fusion": "rectified", "sim": "B", "sim_radius": 4}
    torch.save(IGTVNetwork(**network).state_dict(), path)
    write_model_card(path, name="Own model", task="gtv", network=network, **PREPARED)
    return path


def test_a_data_folder_begins_with_the_model_given_and_keeps_to_it(app, own_model, tmp_path):
    app.folders = DataFolders(tmp_path / "other").make()
    app.options = AppOptions(pretrained_model=str(own_model))
    assert {registry.current().sha256 for registry in open_models(app).values()} == {file_sha256(own_model)}
    app.options = AppOptions()
    assert open_models(app)["gtv"].current().card["name"] == "Own model"
    app.options = AppOptions(pretrained_model=str(tmp_path / "none.pt"))
    with pytest.raises(FileNotFoundError, match="none.pt does not exist"):
        open_models(app)
    app.options = AppOptions(pretrained_model=str(app.bundle_dir / "models" / "model.pt"))
    with pytest.raises(ValueError, match="is not what .*models began with"):
        open_models(app)


def test_a_refused_start_begins_nothing(app, own_model, tmp_path):
    """The IGTV registry began with other weights: the GTV registry, still empty, must not begin with these."""
    folders = DataFolders(tmp_path / "retrained").make()
    ModelRegistry(folders.models, "igtv").seed(app.bundle_dir / "models" / "model.pt", "by retraining")
    app.folders, app.options = folders, AppOptions(pretrained_model=str(own_model))
    with pytest.raises(ValueError, match="is not what .*models began with"):
        open_models(app)
    assert ModelRegistry(folders.models, "gtv").is_empty


def test_a_look_decides_nothing(app, own_model, tmp_path):
    """A check before the first start: the start may still choose what to begin with."""
    app.folders = DataFolders(tmp_path / "new").make()
    with looking():
        assert open_models(app)["igtv"].current().card["task"] == "igtv"
    assert all(ModelRegistry(app.folders.models, name).is_empty for name in ("gtv", "igtv"))
    app.options = AppOptions(pretrained_model=str(own_model))
    assert open_models(app)["igtv"].began_with(own_model)


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


@pytest.mark.parametrize("problem", [PacsError("the PACS does not answer"), DicomError("p1: no slices")])
def test_one_case_that_cannot_be_had_does_not_end_every_training(app, cycle, monkeypatch, problem, caplog):
    store = app.datastore()

    def case(name):
        if name == "p1":
            raise problem
        return Datastore.case(store, name)

    app.learning.run({})
    monkeypatch.setattr(store, "case", case)
    app.learning.run({})
    assert [one["case"] for one in cycle.calls[1]["cases"]] == ["p0", "p2", "p3", "p4"]
    assert f"label of p1 left out: {problem}" in caplog.text


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


def test_a_pacs_that_is_away_does_not_end_a_training_of_what_is_here(app, cycle, monkeypatch, caplog):
    def refresh():
        raise PacsError("the PACS does not answer")

    monkeypatch.setattr(app.datastore(), "refresh", refresh)
    app.learning.run({})
    assert len(cycle.calls) == 1 and "could not be looked for" in caplog.text


def test_too_few_labels_are_told(app, cycle, monkeypatch):
    store = app.datastore()
    monkeypatch.setattr(store, "final_labels", lambda: Datastore.final_labels(store)[:3])
    app.learning.start("igtv", {})
    done = finished(app)
    assert done["status"] == "ERROR" and "3 labelled patient(s)" in done["details"][-1]
    assert app.learning.stats()["state"] == "failed" and cycle.calls == []


def test_one_at_a_time_others_wait_only_when_asked(app, cycle):
    go = threading.Event()
    cycle.behave = lambda **given: go.wait(20)
    app.learning.start("igtv", {})
    wait_for(lambda: cycle.calls)
    with pytest.raises(RequestError) as refused:
        app.learning.start("igtv", {})
    assert refused.value.http_status == 429
    app.learning.start("igtv", {}, enqueue=True)
    go.set()
    wait_for(lambda: len(cycle.calls) == 2)
    assert finished(app)["status"] == "DONE"
    assert len(app.learning.status(every=True)) == 2


def test_stop_and_close_end_the_cycle(app, cycle):
    def until_stopped(stop, **_):
        if stop.wait(20):
            raise CycleStopped("the training was stopped; the current model is unchanged")

    cycle.behave = until_stopped
    app.learning.start("igtv", {})
    wait_for(lambda: cycle.calls)
    assert app.learning.stop()["status"] == "STOPPED"
    wait_for(lambda: app.learning._idle.is_set())
    assert app.learning.running() is None and app.learning.status()["status"] == "STOPPED"
    app.learning.start("igtv", {})
    wait_for(lambda: len(cycle.calls) == 2)
    app.learning.close()
    assert app.learning._idle.is_set() and app.learning.stop() is None


def test_a_stop_ends_the_collecting_too(app, cycle, monkeypatch):
    """A slow PACS takes long for every case: it is asked for no further one."""
    store, asked, go = app.datastore(), [], threading.Event()

    def case(name):
        asked.append(name)
        go.wait(20)
        return Datastore.case(store, name)

    monkeypatch.setattr(store, "case", case)
    app.learning.start("igtv", {})
    wait_for(lambda: asked)
    assert app.learning.stop()["status"] == "STOPPED"
    go.set()
    wait_for(lambda: app.learning._idle.is_set())
    assert asked == ["p0"] and cycle.calls == [] and not (app.folders.learning / "frozen").exists()
    stats = app.learning.stats()
    assert stats["state"] == "stopped" and "while it collected" in stats["message"]


def test_a_failure_keeps_its_reason(app, cycle):
    def fail(**_):
        raise CycleFailed("the training's process was ended by signal 9; the current model is unchanged")

    cycle.behave = fail
    app.learning.start("igtv", {})
    done = finished(app)
    assert done["status"] == "ERROR" and "signal 9" in done["details"][-1]


def test_a_training_of_another_process_is_said(app):
    """In words, where an error without a name would get a number of the log."""
    with cycle_folder(app.folders.learning / "work"):
        app.learning.start("igtv", {})
        done = finished(app)
        with pytest.raises(RequestError, match="another process is under way") as refused:
            app.learning.run({})
    assert refused.value.http_status == 409 and str(app.folders.root) not in str(refused.value)
    assert done["status"] == "ERROR" and done["details"][-1] == str(refused.value)


def test_viewers_see_epochs_and_accuracy(app, cycle):
    shown = []

    def epochs(progress, **_):
        progress.update(phase="training", epoch=2, epochs=8, train_loss=0.5, val_dice=0.61, best_val_dice=0.64)
        progress.update(seconds_left=12)
        shown.append(app.learning.stats())

    cycle.behave = epochs
    before = app.learning.stats()
    assert before["model"] == "igtv v0001" and before["best_metric"] == 0.0 and "state" not in before
    app.learning.run({}, lambda entries: None)
    # the stand-in holds no lock, so the training counts as interrupted; its numbers stay
    assert (shown[0]["epoch"], shown[0]["total_epochs"], shown[0]["val_dice"]) == (2, 8, 0.61)
    after = app.learning.stats()
    assert after["state"] == "done" and after["accepted"] and after["total_time"]
    json.dumps(after)


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": "$print(1)"},
        {"max_epochs": 0},
        {"max_epochs": 1.5},
        {"start_from": "@network"},
        {"device": "$__import__('os')"},
        {"samples_per_epoch": [1]},
    ],
)
def test_values_that_are_none_are_refused(app, params):
    with pytest.raises(RequestError):
        app.learning.settings(params)


def test_unknown_parameters_never_reach_the_configuration(app):
    settings = app.learning.settings({"model_path": "/etc/passwd", "train#dataset#data": [], "max_epochs": 2})
    assert settings.finetuning == {"epochs": 2}


def test_a_killed_server_is_noticed_at_the_next_start(app):
    path = app.folders.learning / "progress.json"
    path.write_text(json.dumps({"state": "running", "epoch": 3, "epochs": 9}))
    assert LearningLoop(app).stats()["state"] == "failed"
    assert "the server ended during this training" in json.loads(path.read_text())["message"]


def test_the_trainer_as_monai_label_calls_it(app, cycle):
    trainer = create_trainers(app)["igtv"]
    assert isinstance(trainer, LearnFromLabels)
    config = trainer.info()["config"]
    assert config["start_from"] == ["pretrained", "current"] and config["max_epochs"] == 20
    request = {"model": "igtv", "start_from": config["start_from"], "max_epochs": 1, "client_id": "x", "local_rank": 0}
    assert trainer(request, app.datastore()) == {"version": 2, "accepted": True, "current": 0.4, "candidate": 0.6}
    assert cycle.calls[0]["settings"].start_from == "pretrained"
