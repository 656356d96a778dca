import pytest
from ignite.engine import Engine, Events
from igtv.training.early_stopping import EarlyStop
from igtv.training.history import History


def run(stop, history, dices):
    """Train through epochs that bring the given Dice values; how many epochs it took."""
    trainer = Engine(lambda engine, batch: None)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: history.add(engine.state.epoch, 1.0, 0.1, dices[engine.state.epoch - 1])
    )
    stop.attach(trainer)
    trainer.run([0], max_epochs=len(dices))
    return trainer.state.epoch


@pytest.mark.parametrize(
    "patience, dices, epochs",
    [
        (0, [0.5, 0.4, 0.3, 0.2], 4),  # 0 never stops
        (2, [0.5, 0.4, 0.3, 0.6], 3),
        (2, [0.5, 0.4, 0.6, 0.5, 0.6, 0.9], 5),  # an equal is no gain
        (2, [0.5, None, 0.4, None, 0.3, 0.9], 5),  # epochs without validation do not count
        (5, [0.5, 0.4], 2),
    ],
)
def test_stops_after_patience(patience, dices, epochs, tmp_path):
    history = History(tmp_path)
    stop = EarlyStop(patience, history)
    assert run(stop, history, dices) == epochs
    assert stop.stopped == (epochs < len(dices))


def test_state_survives(tmp_path):
    history = History(tmp_path)
    before = EarlyStop(3, history)
    run(before, history, [0.5, 0.4, 0.3])
    assert before.state_dict() == {"counter": 2, "best_score": 0.5} and not before.stopped
    after = EarlyStop(3, history)
    trainer = Engine(lambda engine, batch: None)
    after.attach(trainer)
    after.load_state_dict(before.state_dict())
    history.add(4, 1.0, 0.1, 0.45)
    after(trainer)
    assert after.stopped and trainer.should_terminate


def test_negative_patience():
    with pytest.raises(ValueError, match="early_stopping_patience must be 0"):
        EarlyStop(-1, History("."))
