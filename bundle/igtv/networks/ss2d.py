"""2-D selective scan layer (SS2D) of VMamba, arXiv 2401.10166."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..scan import selective_scan_2d


class ScanParameters(nn.Module):
    """Weights of selective scans in several directions, initialised as in Mamba (arXiv 2312.00752).

    Rows of `A_logs` and `Ds` are direction-major: row k * inner_width + channel.

    Args:
        inner_width: channels D that are scanned.
        state_size: states N per channel.
        step_rank: rank R of the input-dependent step size.
        directions: number K of scans, each with its own weights.
    """

    def __init__(self, inner_width: int, state_size: int, step_rank: int, directions: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inner_width)
        self.x_proj_weight = nn.Parameter(
            torch.empty(directions, step_rank + 2 * state_size, inner_width).uniform_(-bound, bound)
        )
        bound = step_rank**-0.5
        self.dt_projs_weight = nn.Parameter(torch.empty(directions, inner_width, step_rank).uniform_(-bound, bound))
        step = torch.empty(directions, inner_width).uniform_(math.log(1e-3), math.log(0.1)).exp().clamp(min=1e-4)
        self.dt_projs_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # inverse of softplus
        states = torch.arange(1, state_size + 1, dtype=torch.float32)
        self.A_logs = nn.Parameter(states.log().repeat(directions * inner_width, 1))
        self.Ds = nn.Parameter(torch.ones(directions * inner_width))

    def scan(self, x: Tensor) -> Tensor:
        """Scan a map (B, H, W, D) in all directions and add them up, same shape."""
        decay = -torch.exp(self.A_logs.float())
        return selective_scan_2d(x, self.x_proj_weight, self.dt_projs_weight, self.dt_projs_bias, decay, self.Ds)


class SS2D(ScanParameters):
    """Gated layer that scans a map along four directions: rows, columns, and both reversed.

    Args:
        width: channels C in and out.
        state_size: states N per channel.
        expansion: inner width over `width`.
    """

    def __init__(self, width: int, state_size: int = 16, expansion: int = 2) -> None:
        inner = expansion * width
        super().__init__(inner, state_size, math.ceil(width / 16), directions=4)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = F.silu(self.conv2d(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return self.out_proj(self.out_norm(self.scan(x)) * F.silu(gate))
