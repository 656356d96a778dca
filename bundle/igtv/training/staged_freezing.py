"""Fine-tuning in stages: parts of the network rest for the first epochs, then everything learns."""

import logging
from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events

from ..configuration.words import words
from ..networks.parameter_groups import PARTS, freeze

logger = logging.getLogger(__name__)


class StagedFreezing:
    """Keep named parts of the network fixed until an epoch.

    Args:
        network: network with the parts as attributes, see `networks.parameter_groups.freeze`.
        parts: names of the parts to rest, of "encoder", "fusion", "sim", "decoder"; or one of them as it is.
        epochs: the parts rest for this many epochs; 0 never freezes.

    Raises:
        ValueError: an unknown part; or freezing under several processes, whose gradient exchange needs every parameter
            in every step.
    """

    def __init__(self, network: torch.nn.Module, parts: str | Sequence[str], epochs: int) -> None:
        self.parts = words(parts)
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ValueError(f"frozen_parts names {', '.join(unknown)}; a network's parts are {', '.join(PARTS)}")
        if epochs > 0 and self.parts and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise ValueError("frozen_epochs > 0 does not work with several processes: give --frozen_epochs 0")
        self.network = network
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        if self.epochs > 0 and self.parts:
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        resting = self.parts if engine.state.epoch <= self.epochs else ()
        if engine.state.epoch in (1, self.epochs + 1):
            logger.info(
                "epoch %d: %s", engine.state.epoch, f"{', '.join(resting)} rest" if resting else "everything learns"
            )
        freeze(self.network, resting)
