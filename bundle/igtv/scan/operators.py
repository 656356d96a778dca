"""The two functions the network calls. Which code computes them is decided in `backends`."""

import torch
from torch import Tensor

from . import scripted
from .backends import backend_for
from .shapes import check_scan_2d_shapes, check_scan_shapes


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Selective state space scan (Gu and Dao, Mamba, 2023), differentiable in every tensor argument.

    `s = softplus(delta + delta_bias)`, `h_t = exp(s_t A) h_(t-1) + s_t B_t u_t`, `y_t = C_t . h_t + D u_t`.
    Computed in fp32, also under autocast; in fp64 where `u` is fp64.

    Args:
        u: input, (batch, D, L).
        delta: step size, (batch, D, L).
        A: decay rates, negative, (D, N).
        B: input matrix, (batch, G, N, L), shared by the D / G channels of a group.
        C: output matrix, like `B`.
        D: skip weight, (D); None: no skip.
        delta_bias: added to `delta`, (D); None: no bias.
        delta_softplus: apply softplus to the step size.
        backend: name of a back end for this call; None: the one of `backends.backend_for`.

    Returns:
        y, (batch, D, L), fp32 (or fp64).

    Raises:
        ValueError: shapes do not fit together, or the back end is unknown or cannot be used.
    """
    if torch.jit.is_scripting():
        return scripted.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    else:
        check_scan_shapes(u, delta, A, B, C, D, delta_bias)
        compute_type = torch.float64 if u.dtype == torch.float64 else torch.float32
        D = u.new_zeros(u.shape[1], dtype=compute_type) if D is None else D
        delta_bias = u.new_zeros(u.shape[1], dtype=compute_type) if delta_bias is None else delta_bias
        tensors = [tensor.to(compute_type) for tensor in (u, delta, A, B, C, D, delta_bias)]
        with torch.autocast(u.device.type, enabled=False):
            return backend_for(u.device.type, compute_type, backend).selective_scan(*tensors, delta_softplus)


def selective_scan_2d(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_proj_weight: Tensor,
    dt_proj_bias: Tensor,
    A: Tensor,
    D: Tensor,
    backend: str | None = None,
) -> Tensor:
    """Scan a feature map in several directions and add the results (VMamba's SS2D core has four), differentiable.

    Each direction k projects the map with its own weights, `[r, B, C] = x_proj_weight_k x`,
    `delta = dt_proj_weight_k r + dt_proj_bias_k`, and runs `selective_scan` with softplus along its order:
    row-major, column-major, reversed row-major, reversed column-major. With two directions row-major and reversed
    row-major, with one row-major alone: a sequence of tokens is a map of one row.
    Computed in fp32, also under autocast; in fp64 where `x` is fp64.

    Args:
        x: map after depthwise convolution and SiLU, channels last, (batch, H, W, D).
        x_proj_weight: (K, R + 2N, D), K = 1, 2 or 4 directions.
        dt_proj_weight: (K, D, R).
        dt_proj_bias: (K, D).
        A: decay rates, negative, direction-major, (K * D, N).
        D: skip weight, direction-major, (K * D).
        backend: name of a back end for this call; None: the one of `backends.backend_for`.

    Returns:
        The sum of the directions, (batch, H, W, D), fp32 (or fp64).

    Raises:
        ValueError: shapes do not fit together, or the back end is unknown or cannot be used.
    """
    if torch.jit.is_scripting():
        return scripted.selective_scan_2d(x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D)
    else:
        check_scan_2d_shapes(x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D)
        compute_type = torch.float64 if x.dtype == torch.float64 else torch.float32
        tensors = [t.to(compute_type) for t in (x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D)]
        with torch.autocast(x.device.type, enabled=False):
            return backend_for(x.device.type, compute_type, backend).selective_scan_2d(*tensors)
