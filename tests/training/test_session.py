import pytest
from igtv.training.session import prepare_output_dir, set_aside

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
