"""The four ways of reading a feature map as a sequence, and the way back (VMamba's cross-scan and cross-merge).

Direction order everywhere: row-major, column-major, reversed row-major, reversed column-major.
All functions but `scan_by_sequences` are TorchScript-safe.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def cross_scan(x: Tensor) -> Tensor:
    """Read one map in the four directions: (batch, H, W, D) -> (batch, 4, D, H * W)."""
    by_rows = x.permute(0, 3, 1, 2).flatten(2)
    by_columns = x.permute(0, 3, 2, 1).flatten(2)
    return torch.stack([by_rows, by_columns, by_rows.flip(-1), by_columns.flip(-1)], dim=1)


def order_by_direction(maps: Tensor) -> Tensor:
    """Read the k-th of four maps in the k-th direction: (batch, H, W, 4, P) -> (batch, 4, P, H * W)."""
    by_rows = maps.permute(0, 3, 4, 1, 2)
    by_columns = maps.permute(0, 3, 4, 2, 1)
    return torch.stack(
        [
            by_rows[:, 0].flatten(2),
            by_columns[:, 1].flatten(2),
            by_rows[:, 2].flatten(2).flip(-1),
            by_columns[:, 3].flatten(2).flip(-1),
        ],
        dim=1,
    )


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Bring the four sequences back to the map and add them: (batch, 4, D, H * W) -> (batch, H, W, D)."""
    by_rows = (y[:, 0] + y[:, 2].flip(-1)).unflatten(-1, [height, width])
    by_columns = (y[:, 1] + y[:, 3].flip(-1)).unflatten(-1, [width, height])
    return (by_rows + by_columns.transpose(-1, -2)).permute(0, 2, 3, 1).contiguous()


def project(x: Tensor, x_proj_weight: Tensor) -> Tensor:
    """Step-size ranks, B and C of all directions at every pixel, one matrix product.

    Args:
        x: (batch, H, W, D).
        x_proj_weight: (4, R + 2N, D).

    Returns:
        (batch, H, W, 4, R + 2N), last axis: R ranks, N values of B, N values of C.
    """
    directions, features, channels = x_proj_weight.shape
    flat = torch.nn.functional.linear(x, x_proj_weight.reshape(directions * features, channels))
    return flat.unflatten(-1, [directions, features])


def scan_arguments_2d(
    x: Tensor, x_proj_weight: Tensor, dt_proj_weight: Tensor, state_size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn a map into the arguments u, delta, B, C of the 1-D scan with 4 groups.

    Args:
        x: (batch, H, W, D).
        x_proj_weight: (4, R + 2N, D).
        dt_proj_weight: (4, D, R).
        state_size: N.

    Returns:
        u and delta, (batch, 4 * D, L); B and C, (batch, 4, N, L), with L = H * W.
    """
    rank = dt_proj_weight.shape[2]
    u = cross_scan(x).flatten(1, 2)
    sequences = order_by_direction(project(x, x_proj_weight))
    delta = torch.matmul(dt_proj_weight, sequences[:, :, :rank]).flatten(1, 2)
    B = sequences[:, :, rank : rank + state_size]
    C = sequences[:, :, rank + state_size :]
    return u, delta, B, C


def scan_by_sequences(
    selective_scan: Callable[..., Tensor],
    x: Tensor,
    x_proj_weight: Tensor,
    dt_proj_weight: Tensor,
    dt_proj_bias: Tensor,
    A: Tensor,
    D: Tensor,
) -> Tensor:
    """Four-direction scan of a map through a 1-D scan; arguments and result as in `operators.selective_scan_2d`."""
    u, delta, B, C = scan_arguments_2d(x, x_proj_weight, dt_proj_weight, A.shape[1])
    y = selective_scan(u, delta, A, B, C, D, dt_proj_bias.flatten(), True)
    return cross_merge(y.unflatten(1, [4, x.shape[3]]), x.shape[1], x.shape[2])
