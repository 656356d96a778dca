"""Channel rectification module (CRM) of CIPA, arXiv 2503.17261: a scan over the channels of CT and PET gates each."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..scan import selective_scan
from .ss2d import ScanParameters


def pool_to_grid(x: Tensor, grid: int) -> Tensor:
    """Adaptive average pooling of (N, C, h, w) to (N, C, grid, grid).

    PyTorch's backward pass is slow on the CPU. Training on a map that is a multiple of the grid, whose cells are equal,
    takes the mean of rows, then of columns: the same numbers, and a third of the time for both passes.
    """
    height, width = x.shape[2], x.shape[3]
    if x.requires_grad and height % grid == 0 and width % grid == 0:
        cells = x.unflatten(3, [grid, width // grid]).unflatten(2, [grid, height // grid])
        return cells.mean(3).mean(4)
    return F.adaptive_avg_pool2d(x, [grid, grid])


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
        self.directions: int = directions
        self.state_size: int = state_size
        self.step_rank: int = math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, L, width) to (B, L, width)."""
        x, gate = F.silu(self.in_proj(tokens)).chunk(2, dim=-1)
        sequences = x.float().transpose(1, 2).unsqueeze(1)  # (B, 1, D, L)
        if self.directions == 2:
            sequences = torch.cat([sequences, sequences.flip(-1)], dim=1)
        batch, directions, inner, length = sequences.shape
        projected = torch.einsum("bkdl,kcd->bkcl", sequences, self.x_proj_weight.float())
        step, b, c = torch.split(projected, [self.step_rank, self.state_size, self.state_size], dim=2)
        step = torch.einsum("bkrl,kdr->bkdl", step, self.dt_projs_weight.float())
        y = selective_scan(
            sequences.reshape(batch, -1, length),
            step.reshape(batch, -1, length),
            -torch.exp(self.A_logs.float()),
            b.contiguous(),
            c.contiguous(),
            self.Ds.float(),
            self.dt_projs_bias.float().flatten(),
            True,
        ).view(batch, directions, inner, length)
        merged = y[:, 0]
        if self.directions == 2:
            merged = merged + y[:, 1].flip(-1)
        return self.out_proj(self.out_norm(merged.transpose(1, 2)) * gate)


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
