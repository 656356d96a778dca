"""Makes the random state of an epoch a function of the seed and the epoch's number alone."""

import torch
from ignite.engine import Engine, Events

SEED_STRIDE = 1_000_003  # a prime above any number of epochs or processes
LARGEST_SEED = 2**63  # torch takes no larger one; a date as seed, such as 20240607, would come to more


class EpochSeed:
    """Seed torch at the start of every epoch and tell the sampler the epoch.

    With this a run that was killed and resumed draws the same slabs and drops the same paths as one that ran through:
    no random state has to survive, whatever the number of loader processes. Processes of one training get different
    states, so that they do not all drop the same paths.

    Args:
        seed: seed of the run.
        sampler: object with `set_epoch(epoch)`, epochs counted from 0.
    """

    def __init__(self, seed: int, sampler) -> None:
        self.seed = int(seed)
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch - 1
        torch.manual_seed(((self.seed * SEED_STRIDE + epoch) * SEED_STRIDE + engine.state.rank) % LARGEST_SEED)
        self.sampler.set_epoch(epoch)
