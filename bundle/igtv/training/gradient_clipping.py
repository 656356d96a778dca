"""Bounds the norm of the gradient between the backward pass and the optimiser's step."""

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents


class GradientClipping:
    """Clip the global gradient norm, also under mixed precision (the scale is taken out first).

    Args:
        max_norm: largest allowed 2-norm over all parameters.

    Raises:
        ValueError: `max_norm` is not positive.
        FloatingPointError: during training, a gradient that is not finite.
    """

    def __init__(self, max_norm: float) -> None:
        if max_norm <= 0:
            raise ValueError(f"gradient_clip_norm must be positive, got {max_norm}")
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.max_norm)
        if engine.scaler is None and not torch.isfinite(norm):  # the scaler skips such a step by itself
            raise FloatingPointError(
                f"the gradient is {float(norm)} in epoch {engine.state.epoch}, iteration {engine.state.iteration}: the "
                "step would make all weights NaN. Start a new run in another output_dir with a lower learning_rate "
                "(`training` goes on from the last epoch with --model_path <this output_dir>/checkpoint.pt), or look "
                "for extreme values in the images"
            )
