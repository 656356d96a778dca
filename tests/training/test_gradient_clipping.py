import pytest
import torch
from ignite.engine import Events
from igtv.training.gradient_clipping import GradientClipping


class Engine:
    def __init__(self, gradients, scaler=None):
        self.network = torch.nn.Module()
        for index, gradient in enumerate(gradients):
            parameter = torch.nn.Parameter(torch.zeros(len(gradient)))
            parameter.grad = torch.tensor(gradient)
            self.network.register_parameter(f"p{index}", parameter)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0)
        self.scaler = scaler

    @property
    def gradients(self):
        return [parameter.grad.tolist() for parameter in self.network.parameters()]


def test_norm_over_all_parameters():
    """The norm of (3, 4) and (12) together is 13; at most 1 leaves a thirteenth of each."""
    engine = Engine([[3.0, 4.0], [12.0]])
    GradientClipping(1.0)(engine)
    assert engine.gradients[0] == pytest.approx([3 / 13, 4 / 13], rel=1e-5)
    assert engine.gradients[1] == pytest.approx([12 / 13], rel=1e-5)


def test_short_gradients_stay():
    engine = Engine([[0.3, 0.4]])
    GradientClipping(1.0)(engine)
    assert engine.gradients[0] == pytest.approx([0.3, 0.4])


def test_scale_of_mixed_precision_is_taken_out_first():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    engine = Engine([[0.3 * 1024, 0.4 * 1024]], scaler)
    scaler.scale(torch.ones(()))  # makes the scale
    GradientClipping(1.0)(engine)
    assert engine.gradients[0] == pytest.approx([0.3, 0.4])


def test_clips_between_backward_and_step(make_trainer):
    """The gradient is 10 and clipped to 1: one step of rate 0.5 goes 0.5 down."""
    trainer = make_trainer([GradientClipping(1.0)], epochs=1, steps=1, loss=lambda pred, label: 10 * pred.mean())
    trainer.run()
    assert trainer.network.weight.item() == pytest.approx(0.5)


def test_a_gradient_that_is_not_finite_stops_before_the_step(make_trainer):
    """The step would make every weight NaN, and the training would go on with them."""
    settings = {"epochs": 1, "steps": 1, "loss": lambda pred, label: pred.mean() * float("inf")}
    trainer = make_trainer([GradientClipping(1.0)], **settings)
    before = trainer.network.weight.item()
    with pytest.raises(FloatingPointError, match="in epoch 1, iteration 1"):
        trainer.run()
    assert trainer.network.weight.item() == before


@pytest.mark.parametrize("norm", [0, -1.0])
def test_norm_must_be_positive(norm):
    with pytest.raises(ValueError, match=f"gradient_clip_norm must be positive, got {norm}"):
        GradientClipping(norm)


def scaled_trainer(make_trainer, gradients, enabled=True):
    """A trainer under mixed precision; the n-th step's loss is the weight times the n-th of `gradients`."""
    left = iter(gradients)
    trainer = make_trainer(
        [GradientClipping(1.0)], epochs=2, steps=len(gradients) // 2, loss=lambda pred, label: pred.mean() * next(left)
    )
    trainer.amp = True
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0, enabled=enabled)
    trainer.add_event_handler(Events.STARTED, lambda: setattr(trainer, "scaler", scaler))  # MONAI's is for a GPU
    return trainer


def test_steps_that_a_scaler_left_out_one_after_the_other_end_the_training(make_trainer):
    trainer = scaled_trainer(make_trainer, [1.0] * 4 + [float("nan")] * 20)
    with pytest.raises(FloatingPointError, match="the gradient of the last 20 steps is not finite in epoch 2"):
        trainer.run()


def test_steps_left_out_now_and_then_do_not(make_trainer):
    """Nine in a row at the most, and the last one is good."""
    trainer = scaled_trainer(make_trainer, ([float("inf")] * 9 + [1.0]) * 2)
    trainer.run()
    assert trainer.state.epoch == 2 and trainer.network.weight.item() == pytest.approx(0, abs=1e-5)  # two steps of 0.5


def test_a_scaler_that_is_switched_off_leaves_nothing_out(make_trainer):
    trainer = scaled_trainer(make_trainer, [float("nan")] * 2, enabled=False)
    with pytest.raises(FloatingPointError, match="in epoch 1, iteration 1: the step would make all weights NaN"):
        trainer.run()
