"""Back end `numba`: compiled SIMD kernels for the CPU, fp32, forward and backward; fp64 is left to PyTorch."""

import torch
from torch import Tensor

from . import numba_scan_1d, numba_scan_2d, torch_backend


def selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus: bool) -> Tensor:
    """As in `operators.selective_scan`."""
    scan = torch_backend.selective_scan if u.dtype == torch.float64 else numba_scan_1d.selective_scan
    return scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


def selective_scan_2d(x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D) -> Tensor:
    """As in `operators.selective_scan_2d`."""
    scan = torch_backend.selective_scan_2d if x.dtype == torch.float64 else numba_scan_2d.selective_scan_2d
    return scan(x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D)
