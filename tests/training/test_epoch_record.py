import pytest
from ignite.engine import Events
from igtv.training.epoch_record import EpochRecord
from igtv.training.history import History
from igtv.training.last_validation import LastValidation
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler


class Weights:
    def __init__(self):
        self.best = []

    def save_best(self, epoch, val_dice):
        self.best.append((epoch, val_dice))


def run(make_trainer, folder, dices, interval=1, cases=1, **settings):
    """Train; validation number k gives `dices[k]`."""
    trainer = make_trainer(epochs=len(dices), **settings)
    evaluator = SupervisedEvaluator("cpu", DataLoader([{"image": 0.0, "label": 0.0}] * cases), trainer.network)
    given = iter(dices)
    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(val_dice=next(given))
    )
    history, weights = History(folder), Weights()
    ValidationHandler(interval, evaluator).attach(trainer)
    LastValidation(evaluator).attach(trainer)
    EpochRecord(history, weights, evaluator).attach(trainer)
    trainer.run()
    return history, weights, trainer


def test_best_epochs_are_kept(make_trainer, tmp_path):
    history, weights, _ = run(make_trainer, tmp_path, [0.3, 0.2, 0.3, 0.4])
    assert [row["val_dice"] for row in history.rows] == [0.3, 0.2, 0.3, 0.4]
    assert weights.best == [(1, 0.3), (4, 0.4)]  # an equal does not replace the earlier one
    assert len((tmp_path / "training_log.csv").read_text().splitlines()) == 5


def test_loss_is_the_mean_of_the_epoch(make_trainer, tmp_path):
    """The loss is the weight before the step: 1, 0.5 | 0, -0.5."""
    history, _, trainer = run(make_trainer, tmp_path, [0.1, 0.2])
    assert [row["train_loss"] for row in history.rows] == pytest.approx([0.75, -0.25])
    assert trainer.state.metrics == {"train_loss": -0.25, "learning_rate": 0.5, "val_dice": 0.2}


@pytest.mark.parametrize("interval, validated", [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (9, [5])])
def test_interval_and_last_epoch(interval, validated, make_trainer, tmp_path):
    history, _, _ = run(make_trainer, tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5], interval)
    assert [row["epoch"] for row in history.rows if row["val_dice"] is not None] == validated


def test_without_validation_cases(make_trainer, tmp_path):
    history, weights, _ = run(make_trainer, tmp_path, [0.1, 0.2], cases=0)
    assert history.best() is None and weights.best == []


def test_fewer_cases_than_processes(make_trainer, monkeypatch):
    trainer = make_trainer()
    evaluator = SupervisedEvaluator("cpu", DataLoader([{"image": 0.0, "label": 0.0}]), trainer.network)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"1 validation case\(s\) for 2 processes"):
        LastValidation(evaluator).attach(trainer)
