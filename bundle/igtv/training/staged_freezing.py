"""Fine-tuning in stages: parts of the network rest for the first epochs, then everything learns."""

import logging
from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events

from ..configuration.words import words
from ..networks.key_map import without_wrappers
from ..networks.parameter_groups import PARTS, freeze

logger = logging.getLogger(__name__)


class StagedFreezing:
    """Keep named parts of the network fixed until an epoch.

    Args:
        network: network with the parts as attributes, see `networks.parameter_groups.freeze`.
        parts: names of the parts to rest, of "encoder", "fusion", "sim", "decoder"; or one of them as it is.
        epochs: the parts rest for this many epochs; 0 never freezes.

    Raises:
        ValueError: an unknown part; all of the network's parts; or freezing under several processes, whose gradient
            exchange needs every parameter in every step.
    """

    def __init__(self, network: torch.nn.Module, parts: str | Sequence[str], epochs: int) -> None:
        self.parts = words(parts)
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ValueError(f"frozen_parts names {', '.join(unknown)}; a network's parts are {', '.join(PARTS)}")
        if epochs > 0 and self.parts and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise ValueError("frozen_epochs > 0 does not work with several processes: give --frozen_epochs 0")
        if epochs > 0 and all(_belongs_to(name, self.parts) for name, _ in network.named_parameters()):
            raise ValueError(f"frozen_parts names {', '.join(self.parts)}, which is all of the network: nothing learns")
        self.network = network
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        if self.epochs > 0 and self.parts:
            engine.add_event_handler(Events.STARTED, self._warn_of_rest_without_end)
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        resting = self.parts if engine.state.epoch <= self.epochs else ()
        if engine.state.epoch in (1, self.epochs + 1):
            logger.info(
                "epoch %d: %s", engine.state.epoch, f"{', '.join(resting)} rest" if resting else "everything learns"
            )
        freeze(self.network, resting)

    def _warn_of_rest_without_end(self, engine: Engine) -> None:
        if self.epochs >= engine.state.max_epochs:
            logger.warning(
                "%s never learn: frozen_epochs is %d and the training has %d epochs",
                ", ".join(self.parts), self.epochs, engine.state.max_epochs,
            )  # fmt: skip


def _belongs_to(parameter: str, parts: Sequence[str]) -> bool:
    modules = {module for part in parts for module in PARTS[part]}
    return without_wrappers(parameter).split(".")[0] in modules
