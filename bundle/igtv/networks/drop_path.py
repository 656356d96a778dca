"""Stochastic depth, in a form TorchScript can compile (MONAI's DropPath builds its shape in a way it cannot)."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Leave out a residual branch for whole samples during training, and scale what stays to keep the mean.

    Args:
        rate: probability in [0, 1) that a sample's branch is left out.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"drop_path_rate must be in [0, 1), got {rate}")
        self.rate: float = float(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to (B, ...)."""
        if self.rate == 0.0 or not self.training:
            return x
        shape = [1] * x.dim()
        shape[0] = x.shape[0]
        keep = 1.0 - self.rate
        return x * (torch.rand(shape, device=x.device) < keep).to(x.dtype) / keep


def linear_rates(largest: float, count: int) -> list[float]:
    """Rates of `count` blocks, from 0 at the first to `largest` at the last."""
    return [largest * index / max(1, count - 1) for index in range(count)]
