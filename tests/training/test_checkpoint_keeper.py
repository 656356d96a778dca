"""What a training leaves to be resumed from, and what a resumed one refuses."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from igtv.training import checkpoint_keeper
from igtv.training.checkpoint_keeper import CheckpointKeeper, WeightsKeeper


def keeper_for(trainer, folder, **settings):
    keeper = CheckpointKeeper(folder, {"network": trainer.network, "optimizer": trainer.optimizer}, **settings)
    keeper.attach(trainer)
    return keeper


def test_resumes_where_it_was_left(make_trainer, tmp_path):
    trainer = make_trainer(epochs=2)
    keeper_for(trainer, tmp_path)
    trainer.run()
    other = make_trainer(epochs=4, weight=9.0)
    assert keeper_for(other, tmp_path).load("cpu") == 2
    assert torch.equal(other.network.weight, trainer.network.weight)
    assert other.state.iteration == 4


def test_checkpoint_holds_no_code(make_trainer, tmp_path):
    trainer = make_trainer()
    keeper_for(trainer, tmp_path)
    trainer.run()
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert set(content) == {"network", "optimizer", "trainer", "run"}


def test_nothing_to_resume_from(make_trainer, tmp_path):
    with pytest.raises(FileNotFoundError, match="--resume True, but .*checkpoint.pt does not exist"):
        keeper_for(make_trainer(), tmp_path).load("cpu")


def save_one(make_trainer, folder, **settings):
    trainer = make_trainer(epochs=1)
    keeper = keeper_for(trainer, folder)
    keeper.settings = settings
    trainer.run()


def test_other_settings_are_named(make_trainer, tmp_path):
    save_one(make_trainer, tmp_path, seed=0, fold=1, device="cuda:0")
    keeper = keeper_for(make_trainer(), tmp_path)
    keeper.settings = {"seed": 3, "fold": 1, "device": "cpu"}
    with pytest.raises(ValueError, match=r"was made with other settings \(seed: 0 -> 3\)"):
        keeper.load("cpu")


def test_other_length_of_an_epoch(make_trainer, tmp_path):
    save_one(make_trainer, tmp_path)
    with pytest.raises(ValueError, match="made with 2 steps an epoch, this run has 3"):
        keeper_for(make_trainer(steps=3), tmp_path).load("cpu")


def test_other_parts(make_trainer, tmp_path):
    save_one(make_trainer, tmp_path)
    keeper = keeper_for(make_trainer(), tmp_path)
    keeper.state["history"] = object()
    with pytest.raises(ValueError, match=r"only one of the two has \['history'\]"):
        keeper.load("cpu")


def test_other_network(make_trainer, tmp_path):
    save_one(make_trainer, tmp_path)
    trainer = make_trainer()
    keeper = keeper_for(trainer, tmp_path)
    keeper.state["network"] = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="state of 'network' does not fit this run"):
        keeper.load("cpu")


def test_gradient_scale_survives(make_trainer, tmp_path):
    """The trainer makes a new scaler when it starts, so the saved one is put into it then."""
    trainer = make_trainer(epochs=1)
    keeper = keeper_for(trainer, tmp_path)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    keeper.save(trainer)
    other = make_trainer()
    loaded = keeper_for(other, tmp_path)
    loaded.load("cpu")
    other.scaler = torch.amp.GradScaler("cpu")
    loaded._restore_scaler(other)
    assert other.scaler.get_scale() == 256.0


@pytest.fixture
def clock(monkeypatch):
    """The keeper's clock: `clock.now` is what it reads."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(checkpoint_keeper, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def saved_seconds(trainer, path, clock, seconds_per_epoch):
    """Run, every epoch that long by the clock; the seconds in each checkpoint, one write after every epoch."""
    written, replacing = [], checkpoint_keeper.replacing

    def pass_by(engine):
        clock.now += seconds_per_epoch

    @contextmanager
    def watched(target):
        with replacing(target) as partial:
            yield partial
        written.append(torch.load(path, weights_only=True)["run"]["seconds"])

    trainer.add_event_handler(Events.EPOCH_STARTED, pass_by)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_keeper, "replacing", watched)
        trainer.run()
    return written


def test_seconds_add_up_over_sessions(make_trainer, tmp_path, clock):
    trainer, path = make_trainer(epochs=5), tmp_path / "checkpoint.pt"
    keeper_for(trainer, tmp_path)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), trainer.terminate)
    assert saved_seconds(trainer, path, clock, 30.0) == [30.0, 60.0]
    clock.now = 50.0  # another process, whose clock began anew
    resumed = make_trainer(epochs=5)
    keeper = keeper_for(resumed, tmp_path)
    keeper.load("cpu")
    assert keeper.seconds == 60.0
    assert saved_seconds(resumed, path, clock, 7.0) == [67.0, 74.0, 81.0]


def test_rank_above_0_writes_nothing(make_trainer, tmp_path):
    trainer = make_trainer(epochs=1)
    keeper_for(trainer, tmp_path, enabled=False)
    trainer.run()
    assert not list(tmp_path.iterdir())


def weights_keeper(folder, described, **settings):
    return WeightsKeeper(
        torch.nn.Linear(1, 1), folder, lambda path, metrics: described.append((path, metrics)), **settings
    )


def test_best_and_last_weights(tmp_path):
    described = []
    keeper = weights_keeper(tmp_path, described)
    keeper.save_best(3, 0.5)
    with torch.no_grad():
        keeper.network.weight.fill_(7.0)
    keeper.save_last(4, 0.4)
    best, last = (torch.load(tmp_path / name, weights_only=True) for name in ("model.pt", "model_last.pt"))
    assert set(best) == {"weight", "bias"} and last["weight"].item() == 7.0 and best["weight"].item() != 7.0
    assert described == [
        (tmp_path / "model.pt", {"epoch": 3, "val_dice": 0.5}),
        (tmp_path / "model_last.pt", {"epoch": 4, "val_dice": 0.4}),
    ]


def test_without_validation_the_last_is_the_best(tmp_path):
    weights_keeper(tmp_path, []).save_last(4, None)
    assert (tmp_path / "model.pt").is_file()


def test_other_ranks_keep_no_weights(tmp_path):
    weights_keeper(tmp_path, [], enabled=False).save_last(4, None)
    assert not list(tmp_path.iterdir())
