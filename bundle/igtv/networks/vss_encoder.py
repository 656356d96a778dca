"""Visual state space encoder after VMamba (arXiv 2401.10166), the variant without MLPs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .drop_path import DropPath, linear_rates
from .ss2d import SS2D


class PatchStem(nn.Module):
    """Cut a grey image into 4 x 4 patches and embed each.

    The weight has three input channels, as ImageNet encoders have; a grey image repeated to three channels is the
    same as their sum, which is what is computed.

    Args:
        width: channels C0 of the embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, H, W) to (N, H/4, W/4, C0)."""
        x = F.conv2d(x, self.conv.weight.sum(1, keepdim=True), self.conv.bias, stride=4)
        return self.norm(x.permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Halve a map: the four pixels of every 2 x 2 patch become channels, norm, linear 4C -> 2C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, ceil(h/2), ceil(w/2), 2C)."""
        x = F.pad(x, [0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2])
        phases = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        return self.reduction(self.norm(torch.cat(phases, dim=-1)))


class VSSBlock(nn.Module):
    """Residual block x + SS2D(LayerNorm(x)).

    Args:
        width: channels C.
        state_size: states per channel of the scan.
        drop_path: probability to leave the branch out during training.
    """

    def __init__(self, width: int, state_size: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ss2d = SS2D(width, state_size)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, C) to (N, h, w, C)."""
        return x + self.drop_path(self.ss2d(self.norm(x)))


class VSSEncoder(nn.Module):
    """Four stages of VSS blocks at strides 4, 8, 16 and 32.

    Args:
        width: channels C0 of the first stage; they double at every stage.
        depths: blocks per stage.
        state_size: states per channel of the scans.
        drop_path_rate: rate of the last block; linear over depth from 0.
        small_start: linear layers start from VMamba's narrow normal distribution (std 0.02). At the narrow widths of
            `nano` its blocks then add next to nothing for the first hundred steps; without it they start at PyTorch's
            width.
    """

    def __init__(
        self, width: int, depths: tuple[int, ...], state_size: int, drop_path_rate: float, small_start: bool = True
    ) -> None:
        super().__init__()
        rates = linear_rates(drop_path_rate, sum(depths))
        self.stem = PatchStem(width)
        self.stages = nn.ModuleList()
        self.downsamples = nn.ModuleList([nn.Identity()])
        self.output_norms = nn.ModuleList()
        for stage, depth in enumerate(depths):
            stage_width = width * 2**stage
            if stage > 0:
                self.downsamples.append(PatchMerging(stage_width // 2))
            first = sum(depths[:stage])
            blocks = [VSSBlock(stage_width, state_size, rate) for rate in rates[first : first + depth]]
            self.stages.append(nn.Sequential(*blocks))
            self.output_norms.append(nn.LayerNorm(stage_width))
        if small_start:
            self.apply(_initialise)

    def forward(self, x: Tensor, offset: Tensor | None = None) -> list[Tensor]:
        """Map a grey image to four normalised maps.

        Args:
            x: (N, 1, H, W), H and W multiples of 32.
            offset: (N or 1, H/4 or 1, W/4 or 1, C0), added to the patch embedding.

        Returns:
            Maps (N, C0 * 2**i, H / (4 * 2**i), W / (4 * 2**i)) for i = 0..3.
        """
        x = self.stem(x)
        if offset is not None:
            x = x + offset
        maps: list[Tensor] = []
        for stage, downsample, norm in zip(self.stages, self.downsamples, self.output_norms):  # noqa: B905 (TorchScript)
            x = stage(downsample(x))
            maps.append(norm(x).permute(0, 3, 1, 2))
        return maps


def _initialise(module: nn.Module) -> None:
    """Linear layers start from a truncated normal of width 0.02, as VMamba's do."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
