"""Which sample numbers belong to an epoch, and to a process of it."""

from collections.abc import Iterator

import torch.distributed
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Yields the absolute sample numbers of one epoch, `epoch * epoch_length + i`, for `SlabDataset`.

    Call `set_epoch` before each epoch, for instance in an ignite handler of EPOCH_STARTED: the engine takes the
    loader's iterator after that event. Without it every epoch would repeat the samples of epoch 0.

    Args:
        epoch_length: samples per epoch over all processes; rounded up to a multiple of `world_size`, so that every
            process takes as many steps as the others.
        rank, world_size: of the process; default: those of `torch.distributed` where it is initialised, else 0 and 1.

    Raises:
        ValueError: epoch_length below 1, or a rank outside the world.
    """

    def __init__(self, epoch_length: int, rank: int | None = None, world_size: int | None = None) -> None:
        is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if world_size is None:
            world_size = torch.distributed.get_world_size() if is_distributed else 1
        if rank is None:
            rank = torch.distributed.get_rank() if is_distributed else 0
        if epoch_length < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"epoch_length={epoch_length} must be 1 or more and rank={rank} lie in 0..{world_size - 1}"
            )
        self.rank = rank
        self.world_size = world_size
        self.samples_per_process = -(-epoch_length // world_size)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration goes through."""
        if epoch < 0:
            raise ValueError(f"epoch={epoch} must be 0 or more")
        self.epoch = epoch

    def __len__(self) -> int:
        return self.samples_per_process

    def __iter__(self) -> Iterator[int]:
        total = self.samples_per_process * self.world_size
        first = self.epoch * total + self.rank
        return iter(range(first, first - self.rank + total, self.world_size))
