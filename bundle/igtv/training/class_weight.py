"""Weight of tumour voxels in the cross-entropy of the loss."""

import math

import torch


def class_weight(foreground_weight: float, device: torch.device | str) -> torch.Tensor:
    """The weight as `DiceCELoss` wants it.

    Args:
        foreground_weight: how much more a voxel of the tumour counts than one outside.
        device: of the loss.

    Returns:
        Shape (1,).

    Raises:
        ValueError: a weight that is not positive, which would reward what is missed.
    """
    weight = float(foreground_weight)
    if not 0 < weight < math.inf:
        raise ValueError(f"foreground_weight is {foreground_weight}: a number above 0 is needed")
    return torch.tensor([weight]).to(device)
