import warnings

import pytest
from igtv.training.history import History
from igtv.training.progress import TrainingProgress


def test_bar_counts_steps_and_shows_numbers(make_trainer, tmp_path, capfd):
    history = History(tmp_path)
    history.add(1, 1.0, 0.1, 0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_trainer([TrainingProgress(history)], epochs=2, steps=3).run()
    shown = capfd.readouterr().err
    assert "6/6" in shown and "epoch=2/2" in shown and "loss=-1.500" in shown and "val_dice=0.250" in shown


def test_starts_where_a_resumed_run_starts(make_trainer, tmp_path, capfd):
    trainer = make_trainer([TrainingProgress(History(tmp_path))], epochs=3, steps=2)
    trainer.load_state_dict({"iteration": 2, "epoch_length": 2, "max_epochs": 3})
    trainer.run()
    shown = capfd.readouterr().err
    assert "2/6" in shown and "6/6" in shown and "val_dice=-" in shown


def test_silent_when_disabled(make_trainer, tmp_path, capfd):
    make_trainer([TrainingProgress(History(tmp_path), disabled=True)]).run()
    assert capfd.readouterr().err == ""


def test_an_error_closes_the_bar_and_gets_through(make_trainer, tmp_path):
    progress = TrainingProgress(History(tmp_path))

    def fail(pred, label):
        raise ArithmeticError("no loss")

    with pytest.raises(ArithmeticError, match="no loss"):
        make_trainer([progress], loss=fail).run()
    assert progress.bar is None
