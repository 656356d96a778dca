"""Bounds the norm of the gradient between the backward pass and the optimiser's step."""

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

STEPS_SKIPPED_IN_A_ROW = 10  # a scaler whose scale has grown too large skips one or a few


class GradientClipping:
    """Clip the global gradient norm, also under mixed precision (the scale is taken out first).

    A step that is not finite would make all weights NaN. Without mixed precision it ends the training; with it the
    scaler leaves such a step out by itself, which ends the training where it goes on until the end of an epoch:
    nothing is learned any more.

    Args:
        max_norm: largest allowed 2-norm over all parameters.

    Raises:
        ValueError: `max_norm` is not positive.
        FloatingPointError: during training, gradients that are not finite.
    """

    def __init__(self, max_norm: float) -> None:
        if max_norm <= 0:
            raise ValueError(f"gradient_clip_norm must be positive, got {max_norm}")
        self.max_norm = max_norm
        self._skipped: torch.Tensor | int = 0  # in a row, up to now; stays on the device: reading it makes a GPU wait

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_skipped)

    def __call__(self, engine: Engine) -> None:
        scaled = engine.scaler is not None and engine.scaler.is_enabled()  # MONAI hands the CPU one that does nothing
        if scaled:
            engine.scaler.unscale_(engine.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.max_norm)
        if scaled:
            self._skipped = torch.where(norm.isfinite(), 0, self._skipped + 1)
        elif not torch.isfinite(norm):
            raise self._error(engine, f"the gradient is {float(norm)}", "the step would make all weights NaN")

    def check_skipped(self, engine: Engine) -> None:
        """End the training where the last steps were all left out."""
        skipped = int(self._skipped)
        if skipped >= STEPS_SKIPPED_IN_A_ROW:
            raise self._error(engine, f"the gradient of the last {skipped} steps is not finite", "nothing is learned")

    def _error(self, engine: Engine, found: str, consequence: str) -> FloatingPointError:
        return FloatingPointError(
            f"{found} in epoch {engine.state.epoch}, iteration {engine.state.iteration}: {consequence}. Start a new "
            "run in another output_dir with a lower learning_rate (`training` goes on from the last epoch with "
            "--model_path <this output_dir>/checkpoint.pt), or look for extreme values in the images"
        )
