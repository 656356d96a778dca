"""The app's training: what it takes from clients, what it shows them, how it ends. The cycle itself is a stand-in."""

import json
import threading

import pytest
import torch
from igtv.dicom.errors import DicomError
from igtv.files import file_sha256
from igtv.learning.cycle import CycleFailed, CycleStopped, cycle_folder
from igtv.learning.registry import ModelRegistry
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import write_model_card
from lib.learning.learning_loop import LearningLoop
from lib.learning.models import open_models
from lib.learning.tasks import LearnFromLabels, create_trainers
from lib.options import AppOptions
from lib.paths import DataFolders
from lib.server.errors import RequestError
from lib.studies.data_folder import looking
from lib.studies.pacs import PacsError

from ..waiting import wait_for
from .six_cases import Datastore, finished

PREPARED = {"spacing_mm": (3.0, 3.0, 3.0), "hu_window": (-100, 160), "suv_range": (0, 15)}


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
