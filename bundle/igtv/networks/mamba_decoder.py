"""Mamba decoder after Sigma (arXiv 2404.04256), as CIPA (arXiv 2503.17261) uses it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .drop_path import DropPath, linear_rates
from .ss2d import SS2D


def upsample_twice(x: Tensor) -> Tensor:
    """Double (N, h, w, C) bilinearly."""
    x = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    return x.permute(0, 2, 3, 1)


class ChannelAttentionConv(nn.Module):
    """Two 3 x 3 convolutions with a channel attention from the plane's mean and maximum.

    Args:
        width: channels C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = max(1, width // 30)
        self.conv_in = nn.Conv2d(width, width // 3, 3, padding=1)
        self.conv_out = nn.Conv2d(width // 3, width, 3, padding=1)
        self.squeeze = nn.Conv2d(width, squeezed, 1, bias=False)
        self.excite = nn.Conv2d(squeezed, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, h, w, C)."""
        x = self.conv_out(F.gelu(self.conv_in(x.permute(0, 3, 1, 2))))
        mean = self.excite(F.silu(self.squeeze(x.mean(dim=[2, 3], keepdim=True))))
        peak = self.excite(F.silu(self.squeeze(x.amax(dim=[2, 3], keepdim=True))))
        return (x * torch.sigmoid(mean + peak)).permute(0, 2, 3, 1)


class DecoderBlock(nn.Module):
    """Scan, then convolution with channel attention, each residual with a trained scale per channel.

    Args:
        width: channels C.
        state_size: states per channel of the scan.
        drop_path: probability to leave the scan out during training.
    """

    def __init__(self, width: int, state_size: int, drop_path: float) -> None:
        super().__init__()
        self.scale1 = nn.Parameter(torch.ones(width))
        self.scale2 = nn.Parameter(torch.ones(width))
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.ss2d = SS2D(width, state_size)
        self.drop_path = DropPath(drop_path)
        self.attention_conv = ChannelAttentionConv(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, h, w, C)."""
        x = x * self.scale1 + self.drop_path(self.ss2d(self.norm1(x)))
        return x * self.scale2 + self.attention_conv(self.norm2(x))


class PatchExpanding(nn.Module):
    """Double a map by a linear layer C -> 2C whose output is rearranged to 2 x 2 pixels of C/2 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, 2h, 2w, C/2)."""
        n, height, width, channels = x.shape
        x = self.expand(x).view(n, height, width, 2, 2, channels // 2).transpose(2, 3)
        return self.norm(x.reshape(n, 2 * height, 2 * width, channels // 2))


class LinearUpsampling(nn.Module):
    """Double a map: linear C -> C/2, bilinear, norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width // 2, bias=False)
        self.norm = nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, 2h, 2w, C/2)."""
        return self.norm(upsample_twice(self.linear(x)))


class MambaDecoder(nn.Module):
    """From four fused maps to one map at stride 4.

    Args:
        width: channels C0 of the finest map; map i has C0 * 2**i.
        depth: blocks per level.
        state_size: states per channel of the scans.
        drop_path_rate: rates rise evenly from 0 at the finest level to this at a fourth, deeper one that is not there:
            the deepest level's last block has 0.67 (one block a level) to 0.73 (four) of it.
    """

    def __init__(self, width: int, depth: int, state_size: int, drop_path_rate: float = 0.1) -> None:
        super().__init__()
        rates = linear_rates(drop_path_rate, 4 * depth)
        self.expand = PatchExpanding(8 * width)
        self.levels = nn.ModuleList()
        self.upsamplings = nn.ModuleList([LinearUpsampling(4 * width), LinearUpsampling(2 * width), nn.Identity()])
        for scale in (2, 1, 0):
            level_rates = rates[scale * depth : (scale + 1) * depth]
            blocks = [DecoderBlock(width * 2**scale, state_size, rate) for rate in level_rates]
            self.levels.append(nn.Sequential(*blocks))
        self.apply(initialise_convolution)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map four fused maps (N, C0 * 2**i, h / 2**i, w / 2**i) to (N, h, w, C0)."""
        x = self.expand(maps[3].permute(0, 2, 3, 1))
        scale = 2
        for level, upsampling in zip(self.levels, self.upsamplings):  # noqa: B905 (TorchScript)
            x = upsampling(level(x + maps[scale].permute(0, 2, 3, 1)))
            scale -= 1
        return x


class PlainHead(nn.Module):
    """From stride 4 to logits by two bilinear doublings, as CIPA does.

    Args:
        width: channels C0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width, bias=False)
        self.linear2 = nn.Linear(width, width, bias=False)
        self.norm_out = nn.LayerNorm(width)
        self.output = nn.Conv2d(width, 1, 1, bias=False)
        self.apply(initialise_convolution)

    def forward(self, x: Tensor, details: list[Tensor]) -> Tensor:
        """Map (N, h, w, C0) to logits (N, 1, 4h, 4w); `details` is empty and not used."""
        x = upsample_twice(self.linear1(self.norm_in(x)))
        x = upsample_twice(self.linear2(x))
        return self.output(self.norm_out(x).permute(0, 3, 1, 2))


def initialise_convolution(module: nn.Module) -> None:
    """Convolutions of the decoder start Kaiming-normal, biases at zero."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
