"""Logarithmic compression of the uptake at the entry of the `rectified` network.

On a linear SUV scale of 0 to 15 a tumour of SUV 1.4 in muscle of SUV 0.6 stands out by a twentieth of the range, and a
range cut at SUV 5 loses the edge of a hot tumour, which lies near half its maximum. The logarithm keeps both.
"""

import torch
from torch import Tensor


def compress_uptake(images: Tensor) -> Tensor:
    """Compress the PET channel; the ends of the range, -1 and 1, stay.

    With u the uptake as a share 0..1 of the range: log(1 + 30 u) / log(31), scaled to -1..1 again.

    Args:
        images: (N, 2, H, W), CT and PET, each scaled linearly to -1..1.

    Returns:
        (N, 2, H, W), CT as it was.
    """
    strength = 30.0  # log(1 + SUV / 0.5 g/ml) for a range of 0 to 15 g/ml
    log_strength = 3.4339872  # log(1 + strength)
    share = ((images[:, 1:] + 1) / 2).clamp(min=0)
    compressed = torch.log1p(strength * share) * (2 / log_strength) - 1
    return torch.cat([images[:, :1], compressed], dim=1)
