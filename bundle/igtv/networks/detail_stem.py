"""Full-resolution path of the `rectified` network.

The encoder starts with 4 x 4 patches, which cannot place a boundary within a voxel. A few channels of plain
convolutions on the raw slices, joined to the decoder's last two doublings, can.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .channel_norm import ChannelNorm
from .mamba_decoder import initialise_convolution, upsample_twice


class DetailStem(nn.Module):
    """Convolutions on the raw CT and PET slice at full, half and quarter resolution.

    The intensities come in on fixed scales (HU window, SUV range), so the first two layers have no norm: a norm over
    the channels of a pixel would take out of a pixel how bright it is.

    Args:
        width: channels at full resolution; twice as many at half.
        joint_width: channels at quarter resolution, the encoder's first width.
    """

    def __init__(self, width: int, joint_width: int) -> None:
        super().__init__()
        self.conv_full = nn.Conv2d(2, width, 3, padding=1)
        self.conv_half = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.block_half = ResidualConvolution(2 * width)
        self.conv_quarter = nn.Conv2d(2 * width, joint_width, 3, stride=2, padding=1)
        self.block_quarter = ResidualConvolution(joint_width)
        self.apply(initialise_convolution)

    def forward(self, x: Tensor, offset: Tensor | None = None) -> list[Tensor]:
        """Map slices to three maps.

        Args:
            x: (N, 2, H, W), channels CT and PET.
            offset: (N, width, H, W), added after the first convolution.

        Returns:
            Maps (N, width, H, W), (N, 2 * width, H/2, W/2) and (N, joint_width, H/4, W/4).
        """
        # channels innermost, as in the encoder and decoder: the convolutions of the head that join both are 3 to 9
        # times slower on a mixture
        full = self.conv_full(x.contiguous(memory_format=torch.channels_last))
        if offset is not None:
            full = full + offset
        full = F.gelu(full)
        half = self.block_half(F.gelu(self.conv_half(full)))
        return [full, half, self.block_quarter(F.gelu(self.conv_quarter(half)))]


class ResidualConvolution(nn.Module):
    """x + conv(GELU(conv(norm(x)))), 3 x 3, width kept.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        return x + self.conv_out(F.gelu(self.conv_in(self.norm(x))))


class DetailHead(nn.Module):
    """From stride 4 to logits, joining the detail maps at half and full resolution.

    Args:
        width: channels C0 of the decoder's map.
        detail_width: channels of the full-resolution detail map.
        foreground_prior: share of foreground voxels that untrained logits predict everywhere.
    """

    def __init__(self, width: int, detail_width: int, foreground_prior: float) -> None:
        super().__init__()
        half = 2 * detail_width
        self.norm_in = nn.LayerNorm(width)
        self.reduce_half = nn.Linear(width, half, bias=False)
        self.conv_half = nn.Conv2d(2 * half, half, 3, padding=1)
        self.norm_half = ChannelNorm(half)
        self.reduce_full = nn.Linear(half, detail_width, bias=False)
        self.conv_full = nn.Conv2d(2 * detail_width, detail_width, 3, padding=1)
        self.norm_full = ChannelNorm(detail_width)
        self.output = nn.Conv2d(detail_width, 1, 1)
        self.apply(initialise_convolution)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.constant_(self.output.bias, math.log(foreground_prior / (1 - foreground_prior)))

    def forward(self, x: Tensor, details: list[Tensor]) -> Tensor:
        """Map (N, h, w, C0) and the maps of `DetailStem` to logits (N, 1, 4h, 4w)."""
        x = upsample_twice(self.reduce_half(self.norm_in(x))).permute(0, 3, 1, 2)
        x = x + F.gelu(self.norm_half(self.conv_half(torch.cat([x, details[1]], dim=1))))
        x = upsample_twice(self.reduce_full(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = x + F.gelu(self.norm_full(self.conv_full(torch.cat([x, details[0]], dim=1))))
        return self.output(x)
