"""A training that was killed in the middle of an epoch and resumed ends as one that ran through."""

import csv
import os
import shutil
import signal
import subprocess
import time

import pytest
import torch

SETTINGS = {"epochs": 3, "samples_per_epoch": 4, "early_stopping_patience": 9}


def read_log(folder):
    with open(folder / "training_log.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def same_run(folder, reference):
    """Weights, moving average, best epoch and log agree."""
    for name in ("model.pt", "model_last.pt"):
        ours, theirs = (torch.load(path / name, weights_only=True) for path in (folder, reference))
        assert ours.keys() == theirs.keys()
        worst = max((ours[key].double() - theirs[key].double()).abs().max().item() for key in ours)
        assert worst <= 1e-6, f"{name}: {worst}"
    ours, theirs = (torch.load(path / "checkpoint.pt", weights_only=True) for path in (folder, reference))
    for part in ("lr_scheduler", "history", "early_stopping", "trainer"):
        assert ours[part] == theirs[part]
    assert read_log(folder) == [pytest.approx(row, abs=1e-6) for row in read_log(reference)]


@pytest.fixture(scope="module")
def reference(train, tmp_path_factory):
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    train(folder, **SETTINGS)
    return folder


def kill_in_second_epoch(command):
    """Start a training that waits in the sixth step, which is in epoch 2 of 3, and kill it there (SIGKILL)."""
    signal_file = command["env"]["PAUSE_FILE"]
    process = subprocess.Popen(**command, start_new_session=True)
    try:
        end = time.monotonic() + 300
        while not os.path.exists(signal_file):
            assert process.poll() is None, process.communicate()[0].decode()
            assert time.monotonic() < end, "the training did not reach its second epoch"
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its loader processes
        process.communicate()
    assert process.returncode == -signal.SIGKILL


PAUSE = """
import os, time
from igtv.training.progress import TrainingProgress
advance = TrainingProgress._advance
def pause(self, engine):
    if engine.state.iteration == 6:
        open(os.environ["PAUSE_FILE"], "w").close()
        time.sleep(600)
    advance(self, engine)
TrainingProgress._advance = pause
"""


@pytest.fixture
def killed(command_line, tmp_path):
    """Folder of a training killed within its second epoch."""
    folder = tmp_path / "run"

    def make(**overrides):
        hook = tmp_path / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(PAUSE)
        command = command_line(folder, **{**SETTINGS, **overrides})
        command["env"]["PYTHONPATH"] = f"{hook}{os.pathsep}{command['env']['PYTHONPATH']}"
        command["env"]["PAUSE_FILE"] = str(tmp_path / "paused")
        kill_in_second_epoch(command)
        assert len(read_log(folder)) == 1 and not (folder / "model_last.pt").exists()
        return folder

    return make


@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_and_resumed_equals_uninterrupted(num_workers, killed, train, reference):
    folder = killed(num_workers=num_workers)
    train(folder, **{**SETTINGS, "num_workers": num_workers, "resume": True})
    same_run(folder, reference)
    assert not list(folder.glob("previous_*"))


def test_resume_of_a_finished_run_changes_nothing(train, reference, caplog):
    before = {entry: entry.stat().st_mtime_ns for entry in reference.iterdir()}
    with caplog.at_level("INFO"):
        train(reference, **SETTINGS, resume=True)
    assert "nothing to resume" in caplog.text and "all epochs are done" in caplog.text
    assert {entry: entry.stat().st_mtime_ns for entry in reference.iterdir()} == before


def test_resume_writes_what_a_kill_after_the_last_epoch_left_out(train, reference, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    for name in ("model_last.pt", "model_last.json", "run_manifest.json"):
        (folder / name).unlink()
    train(folder, **SETTINGS, resume=True)
    same_run(folder, reference)
    assert (folder / "run_manifest.json").is_file()


@pytest.mark.parametrize(
    "change, text",
    [
        ({"learning_rate": 5e-4}, "learning_rate: 0.001 -> 0.0005"),
        ({"epochs": 5}, "epochs: 3 -> 5"),
        ({"fold": 1}, "training cases"),
        ({"sim": "none"}, "sim: 'A' -> 'none'"),
    ],
)
def test_resume_with_other_settings_is_refused(change, text, train, reference, error_text):
    with pytest.raises(RuntimeError) as caught:
        train(reference, **{**SETTINGS, **change}, resume=True)
    assert "was made with other settings" in error_text(caught.value) and text in error_text(caught.value)


def test_resume_without_a_checkpoint_is_refused_at_once(train, tmp_path, error_text):
    with pytest.raises(RuntimeError) as caught:
        train(tmp_path / "empty", resume=True, model_path=str(tmp_path / "not looked at"))
    assert f"{tmp_path / 'empty' / 'checkpoint.pt'} does not exist" in error_text(caught.value)


def test_a_run_that_stopped_early_stays_stopped(train, tmp_path, caplog):
    # a learning rate that changes nothing: the Dice never rises after the first validation
    settings = {"epochs": 6, "samples_per_epoch": 1, "learning_rate": 1e-12, "early_stopping_patience": 2}
    train(tmp_path, **settings)
    assert len(read_log(tmp_path)) == 3
    with caplog.at_level("INFO"):
        train(tmp_path, **settings, resume=True)
    assert "stopped early" in caplog.text and len(read_log(tmp_path)) == 3
