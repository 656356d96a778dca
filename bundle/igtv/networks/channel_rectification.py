"""Channel rectification module (CRM) of CIPA, arXiv 2503.17261: a scan over the channels of CT and PET gates each."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ss2d import ScanParameters


def averaging_matrix(size: int, grid: int, like: Tensor) -> Tensor:
    """Adaptive average pooling of one axis as a matrix (grid, size), in the type and on the device of `like`.

    Cell i is the mean of pixels floor(i size / grid) to ceil((i + 1) size / grid) - 1, as in PyTorch's pooling.
    """
    cell = torch.arange(grid, device=like.device).unsqueeze(1)
    first = torch.div(cell * size, grid, rounding_mode="floor")
    past = torch.div((cell + 1) * size + grid - 1, grid, rounding_mode="floor")
    pixel = torch.arange(size, device=like.device)
    within = torch.logical_and(pixel >= first, pixel < past)
    return within.to(like.dtype) / (past - first).to(like.dtype)


def pool_to_grid(x: Tensor, grid: int) -> Tensor:
    """Adaptive average pooling of (N, C, h, w) to (N, C, grid, grid), as one matrix product per axis.

    PyTorch's own pooling gives the same numbers, but its backward pass is slow on the CPU.
    """
    height, width = x.shape[2], x.shape[3]
    if height == grid and width == grid:
        return x
    columns = torch.matmul(x, averaging_matrix(width, grid, x).t())
    return torch.matmul(averaging_matrix(height, grid, x), columns)


class ChannelScan(ScanParameters):
    """Gated 1-D scan over a sequence of tokens.

    Args:
        width: token width.
        state_size: states per channel of the scan.
        directions: 1 scans the sequence forward only; 2 scans it forward and backward and adds the two.
    """

    def __init__(self, width: int, state_size: int, directions: int) -> None:
        inner = 2 * width
        super().__init__(inner, state_size, math.ceil(width / 16), directions)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, L, width) to (B, L, width)."""
        x, gate = F.silu(self.in_proj(tokens)).chunk(2, dim=-1)
        y = self.scan(x.unsqueeze(1)).squeeze(1)  # a sequence is a map of one row
        return self.out_proj(self.out_norm(y) * gate)


class ChannelRectification(nn.Module):
    """Gate the channels of the CT and of the PET map by a scan over all of them, CT channels first.

    Each channel, pooled to a fixed grid (the identity where the map has that size), is one token. With one direction
    (CIPA as published) CT gates cannot depend on PET; with two, every gate sees both modalities.

    Args:
        grid: pooled height and width, so that the weights fit any map.
        width: token width.
        state_size: states per channel of the scan.
        directions: 1 or 2, see above.
    """

    def __init__(self, grid: int, width: int, state_size: int, directions: int) -> None:
        super().__init__()
        self.grid: int = grid
        self.input_norm = nn.LayerNorm(grid * grid)
        self.embed = nn.Linear(grid * grid, width)
        self.scan = ChannelScan(width, state_size, directions)
        self.output_norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 1)

    def forward(self, ct: Tensor, pet: Tensor) -> tuple[Tensor, Tensor]:
        """Map CT and PET maps (N, C, h, w) to their gated forms, same shapes."""
        channels = ct.shape[1]
        tokens = pool_to_grid(torch.cat([ct, pet], dim=1), self.grid).flatten(2)
        tokens = self.scan(F.gelu(self.embed(self.input_norm(tokens))))
        gates = torch.sigmoid(self.gate(self.output_norm(tokens))).unsqueeze(-1)  # (N, 2C, 1, 1)
        return ct * (1 + gates[:, :channels]), pet * (1 + gates[:, channels:])
