"""Back end `mamba_ssm`: the CUDA kernel of the mamba-ssm package, where that can be imported."""

from functools import partial

import torch
from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
from torch import Tensor

from . import torch_backend
from .cross_scan import scan_by_sequences


def selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus: bool) -> Tensor:
    """As in `operators.selective_scan`; fp64 is left to PyTorch."""
    if u.dtype == torch.float64:
        return torch_backend.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    # The package's kernel wants time contiguous in every sequence.
    u, delta, A, B, C, D, delta_bias = (t.contiguous() for t in (u, delta, A, B, C, D, delta_bias))
    return selective_scan_fn(u, delta, A, B, C, D, delta_bias=delta_bias, delta_softplus=delta_softplus)


selective_scan_2d = partial(scan_by_sequences, selective_scan)
