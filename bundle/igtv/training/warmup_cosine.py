"""The learning rate over a training: a linear start, then half a cosine."""

import logging
import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

LOWEST = 0.01  # of each group's own rate, at the first step and at the last

logger = logging.getLogger(__name__)


class WarmupCosine(LambdaLR):
    """Rises from 1 % to the whole rate during the warm-up, then falls along half a cosine to 1 %.

    The shares hold for every group of parameters alike: one that learns ten times as fast as another does so
    throughout. (`monai.optimizers.WarmupCosineSchedule` ends with one rate for all groups.)

    Args:
        optimizer: its groups' rates are the highest ones.
        warmup_steps: of the rise; 0 begins with the whole rate.
        total_steps: of the training. Where the warm-up is as long, the rate never falls, which a warning says.

    Raises:
        ValueError: fewer warm-up steps than none.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: float, total_steps: int) -> None:
        if not warmup_steps >= 0:
            raise ValueError(f"warmup_epochs must be 0 or more (its steps are {warmup_steps})")
        if warmup_steps >= total_steps:
            logger.warning("warmup_epochs is as long as the training: the learning rate rises and does not fall")
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        super().__init__(optimizer, self.share)

    def share(self, step: int) -> float:
        """Share of the whole rate, from `LOWEST` to 1, at a step counted from 0."""
        if step < self.warmup_steps:
            return LOWEST + (1 - LOWEST) * step / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return max(LOWEST, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
