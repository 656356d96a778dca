import torch
from igtv.training.epoch_seed import EpochSeed


class Sampler:
    def __init__(self):
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def draws(make_trainer, seed=0, rank=0, epochs=2):
    """A random number in every step of a training."""
    numbers = []
    sampler = Sampler()

    def loss(pred, label):
        numbers.append(torch.rand(()).item())
        return pred.mean()

    trainer = make_trainer([EpochSeed(seed, sampler)], epochs=epochs, loss=loss)
    trainer.state.rank = rank
    trainer.run()
    return numbers, sampler.epochs


def test_random_state_depends_on_seed_epoch_and_rank(make_trainer):
    first, epochs = draws(make_trainer)
    torch.rand(7)  # whatever went before
    again, _ = draws(make_trainer)
    assert first == again and epochs == [0, 1]
    assert len(set(first)) == 4  # no two steps alike, in no epoch
    assert not set(first) & set(draws(make_trainer, seed=1)[0])
    assert not set(first) & set(draws(make_trainer, rank=1)[0])


def test_a_date_is_a_seed(make_trainer):
    """20240607 times a million squared is more than torch takes."""
    numbers, _ = draws(make_trainer, seed=20240607)
    assert len(set(numbers)) == 4 and not set(numbers) & set(draws(make_trainer, seed=20240608)[0])


def test_neighbouring_seeds_share_no_epoch(make_trainer):
    """seed + epoch alone would give epoch 1 of seed 0 the state of epoch 0 of seed 1."""
    assert not set(draws(make_trainer, seed=0, epochs=4)[0]) & set(draws(make_trainer, seed=1, epochs=4)[0])
