from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from igtv.locks import locked
from igtv.training import session
from igtv.training.session import prepare_output_dir, run_training, set_aside

NAMES = ("checkpoint.pt", "model.pt", "model.json", "model_last.pt", "model_last.json", "training_log.csv")


def fill(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_results_move_and_other_files_stay(tmp_path):
    fill(tmp_path, (*NAMES, "dataset.json"))
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "patient").mkdir()
    set_aside(tmp_path)
    (previous,) = tmp_path.glob("previous_*")
    assert names_in(tmp_path) == ["dataset.json", "patient", previous.name]
    assert names_in(previous) == sorted([*NAMES, "tensorboard"])
    assert (previous / "model.pt").read_text() == "model.pt"


def test_twice_within_a_second(tmp_path):
    for _ in range(3):
        fill(tmp_path)
        set_aside(tmp_path)
    assert len(list(tmp_path.glob("previous_*/model.pt"))) == 3


@pytest.mark.parametrize("names", [(), ("notes.txt",)])
def test_nothing_to_set_aside(names, tmp_path):
    fill(tmp_path / "run", names)
    set_aside(tmp_path / "run")
    assert names_in(tmp_path / "run") == list(names)
    set_aside(tmp_path / "not there")
    assert not (tmp_path / "not there").exists()


def test_before_the_run_nothing_moves(tmp_path):
    """A new run may still fail to start: `run_training` sets the earlier results aside."""
    fill(tmp_path)
    prepare_output_dir(tmp_path, resume=True)
    prepare_output_dir(tmp_path, resume=False)
    prepare_output_dir(tmp_path, resume=False, is_main=False)
    assert names_in(tmp_path) == sorted(NAMES)


def test_resume_needs_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint.pt does not exist"):
        prepare_output_dir(tmp_path, resume=True)


def test_start_weights_must_not_move_away(tmp_path):
    fill(tmp_path)
    with pytest.raises(ValueError, match="give the new run an output_dir of its own"):
        prepare_output_dir(tmp_path, resume=False, model_path=tmp_path / "model.pt")
    assert names_in(tmp_path) == sorted(NAMES)


@pytest.mark.parametrize("resume", [True, False])
def test_halves_of_files_from_a_kill_are_removed(resume, tmp_path):
    fill(tmp_path, (*NAMES, ".writing-abc.pt"))
    prepare_output_dir(tmp_path, resume=resume)
    assert not list(tmp_path.glob(".writing-*"))


def test_a_folder_in_which_another_training_writes_is_refused(tmp_path, monkeypatch):
    """At once, and once more where both came that far; nothing is moved or removed, and ranks above 0 never ask."""
    monkeypatch.setattr(session, "LOADERS_END_S", 0.0)
    fill(tmp_path, (*NAMES, ".writing-abc.pt"))
    parts = dict.fromkeys(("trainer", "checkpoint", "weights", "history", "early_stopping", "manifest"))
    with locked(tmp_path / ".training.lock"):
        for start in (lambda: prepare_output_dir(tmp_path, False), lambda: run_training(**parts, **here(tmp_path))):
            with pytest.raises(
                FileExistsError, match="another training writes into output_dir .* output_dir of its own"
            ):
                start()
        prepare_output_dir(tmp_path, resume=True, is_main=False)
    assert names_in(tmp_path) == sorted([*NAMES, ".training.lock", ".writing-abc.pt"])
    prepare_output_dir(tmp_path, resume=True)  # the other one has ended
    assert names_in(tmp_path) == sorted([*NAMES, ".training.lock"])


def here(folder):
    return {"output_dir": folder, "resume": False}


def test_the_lock_is_held_for_the_whole_run_and_given_back(tmp_path):
    seen = []

    def settings():
        with pytest.raises(BlockingIOError), locked(tmp_path / ".training.lock", wait_s=0):
            pass
        seen.append(True)
        raise InterruptedError("enough seen")

    parts = dict.fromkeys(("trainer", "weights", "history", "early_stopping"))
    with pytest.raises(InterruptedError):
        run_training(
            **parts, checkpoint=SimpleNamespace(), manifest=SimpleNamespace(settings=settings), **here(tmp_path)
        )
    assert seen == [True]
    with locked(tmp_path / ".training.lock", wait_s=0):
        pass


@pytest.mark.parametrize("can_step", [True, False])
def test_earlier_results_move_once_a_step_was_taken(tmp_path, make_trainer, can_step):
    """A size that does not fit the network is seen in the first step: `model.pt` must be where it was."""
    (tmp_path / "model.pt").write_text("earlier")

    def loss(pred, label):
        if not can_step:
            raise ValueError("height and width must be multiples of 32")
        return pred.mean()

    parts = {
        "trainer": make_trainer(loss=loss),
        "checkpoint": SimpleNamespace(seconds=1.0),
        "history": SimpleNamespace(best=lambda: None, latest=lambda key: None),
        "early_stopping": SimpleNamespace(stopped=False),
        "weights": SimpleNamespace(save_last=lambda epoch, dice: None),
    }
    manifest = Mock(settings=dict)
    with nullcontext() if can_step else pytest.raises(ValueError, match="multiples of 32"):
        run_training(**parts, manifest=manifest, **here(tmp_path))
    assert (tmp_path / "model.pt").exists() != can_step
    assert len(list(tmp_path.glob("previous_*/model.pt"))) == can_step
