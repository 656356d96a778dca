import pytest
import torch
from ignite.engine import Engine, Events
from igtv.training.moving_average import MovingAverage


def averaged_by_hand(start, weights, decay):
    average = start
    for step, weight in enumerate(weights, start=1):
        share = min(decay, (1 + step) / (10 + step))
        average = share * average + (1 - share) * weight
    return average


def trainer_with_average(make_trainer, decay, **settings):
    """The weight goes 1, 0.5, 0, -0.5, ... (rate 0.5, gradient 1)."""
    trainer = make_trainer(**settings)
    average = MovingAverage(trainer.network, decay)
    average.attach(trainer)
    return trainer, average


@pytest.mark.parametrize("decay", [0.2, 0.99])  # the first step's share is 2 / 11 = 0.18, the second's 3 / 12 = 0.25
def test_follows_by_hand(decay, make_trainer):
    trainer, average = trainer_with_average(make_trainer, decay)
    trainer.run()
    assert trainer.network.weight.item() == pytest.approx(-1.0)
    expected = averaged_by_hand(1.0, [0.5, 0.0, -0.5, -1.0], decay)
    assert average.model.weight.item() == pytest.approx(expected, abs=1e-6)


def test_first_step_by_hand(make_trainer):
    """2/11 of 1 and 9/11 of 0.5."""
    trainer, average = trainer_with_average(make_trainer, 0.99, epochs=1, steps=1)
    trainer.run()
    assert average.model.weight.item() == pytest.approx(2 / 11 + 4.5 / 11, abs=1e-6)


def test_state_survives(make_trainer):
    trainer, average = trainer_with_average(make_trainer, 0.9)
    trainer.run()
    other = MovingAverage(make_trainer().network, 0.9)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.model.weight, average.model.weight)


def test_disabled_is_the_network_itself(make_trainer):
    trainer = make_trainer()
    average = MovingAverage(trainer.network, 0.9, enabled=False)
    average.attach(trainer)
    trainer.run()
    assert average.model is trainer.network and average.state_dict() == {}
    average.load_state_dict({})


def test_weights_loaded_when_the_training_starts_are_averaged_from():
    network = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0.5)

    def load(engine):
        with torch.no_grad():
            network.weight.fill_(7.0)

    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.STARTED, load)
    average.attach(engine)
    engine.run([0], max_epochs=1)
    assert average.model.weight.item() == 7.0


@pytest.mark.parametrize("decay", [0, 1, 1.5, -0.1])
def test_a_decay_that_is_none_is_refused(decay, make_trainer):
    network = make_trainer().network
    with pytest.raises(ValueError, match=f"ema_decay is {decay}: a number between 0 and 1"):
        MovingAverage(network, decay)
    MovingAverage(network, decay, enabled=False)
