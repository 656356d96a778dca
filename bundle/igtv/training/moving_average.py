"""Exponential moving average of the weights, kept by ignite, with a state that a resumed run restores."""

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler


class MovingAverage:
    """`ema_model` follows the network: after each step w_ema <- decay * w_ema + (1 - decay) * w.

    The decay is lower at first (min(decay, (1 + step) / (10 + step))), so that the average forgets the random start.

    Args:
        network: network being trained (DDP is looked through).
        decay: weight of the past, in (0, 1).
        enabled: without it the network itself is what is evaluated.

    Raises:
        ValueError: a decay that is none.
    """

    def __init__(self, network: torch.nn.Module, decay: float, enabled: bool = True) -> None:
        bare = network.module if isinstance(network, torch.nn.parallel.DistributedDataParallel) else network
        if enabled and not 0 < decay < 1:
            raise ValueError(f"ema_decay is {decay}: a number between 0 and 1 is needed, such as 0.99")
        self.decay = decay
        self.handler = EMAHandler(bare, momentum=1.0 - decay) if enabled else None
        self.model = self.handler.ema_model if enabled else bare

    def attach(self, engine: Engine) -> None:
        if self.handler is None:
            return
        engine.add_event_handler(Events.STARTED, self._start_from_network)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._set_momentum)
        self.handler.attach(engine, warn_if_exists=False)

    def _start_from_network(self, engine: Engine) -> None:
        # a loader among the handlers (MONAI Label adds one) fills the network only now, after the average was copied
        if engine.state.iteration == 0:
            self.model.load_state_dict(self.handler.model.state_dict())

    def _set_momentum(self, engine: Engine) -> None:
        step = engine.state.iteration
        engine.state.ema_momentum = 1.0 - min(self.decay, (1 + step) / (10 + step))

    def state_dict(self) -> dict:
        return self.model.state_dict() if self.handler is not None else {}

    def load_state_dict(self, state: dict) -> None:
        if self.handler is not None:
            self.model.load_state_dict(state)
