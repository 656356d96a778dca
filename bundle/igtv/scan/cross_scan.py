"""The ways of reading a feature map as a sequence, and the way back (VMamba's cross-scan and cross-merge).

Order of four directions everywhere: row-major, column-major, reversed row-major, reversed column-major. Two directions
are row-major and its reverse, one is row-major alone: what a sequence, a map of one row, can be read in.
All functions but `scan_by_sequences` are TorchScript-safe.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def cross_scan(x: Tensor, directions: int) -> Tensor:
    """Read one map in K directions: (batch, H, W, D) -> (batch, K, D, H * W)."""
    by_rows = x.permute(0, 3, 1, 2).flatten(2)
    if directions == 1:
        return by_rows.unsqueeze(1)
    if directions == 2:
        return torch.stack([by_rows, by_rows.flip(-1)], dim=1)
    by_columns = x.permute(0, 3, 2, 1).flatten(2)
    return torch.stack([by_rows, by_columns, by_rows.flip(-1), by_columns.flip(-1)], dim=1)


def order_by_direction(maps: Tensor) -> Tensor:
    """Read the k-th of K maps in the k-th direction: (batch, H, W, K, P) -> (batch, K, P, H * W)."""
    by_rows = maps.permute(0, 3, 4, 1, 2)
    if maps.shape[3] == 1:
        return by_rows.flatten(3)
    if maps.shape[3] == 2:
        return torch.stack([by_rows[:, 0].flatten(2), by_rows[:, 1].flatten(2).flip(-1)], dim=1)
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
    """Bring K sequences back to the map and add them: (batch, K, D, H * W) -> (batch, H, W, D)."""
    directions = y.shape[1]
    rows = y[:, 0] if directions == 1 else y[:, 0] + y[:, directions // 2].flip(-1)
    by_rows = rows.unflatten(-1, [height, width])
    if directions < 4:
        return by_rows.permute(0, 2, 3, 1).contiguous()
    by_columns = (y[:, 1] + y[:, 3].flip(-1)).unflatten(-1, [width, height])
    return (by_rows + by_columns.transpose(-1, -2)).permute(0, 2, 3, 1).contiguous()


def project(x: Tensor, x_proj_weight: Tensor) -> Tensor:
    """Step-size ranks, B and C of all directions at every pixel, one matrix product.

    Args:
        x: (batch, H, W, D).
        x_proj_weight: (K, R + 2N, D).

    Returns:
        (batch, H, W, K, R + 2N), last axis: R ranks, N values of B, N values of C.
    """
    directions, features, channels = x_proj_weight.shape
    flat = torch.nn.functional.linear(x, x_proj_weight.reshape(directions * features, channels))
    return flat.unflatten(-1, [directions, features])


def scan_arguments_2d(
    x: Tensor, x_proj_weight: Tensor, dt_proj_weight: Tensor, state_size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn a map into the arguments u, delta, B, C of the 1-D scan with K groups, one per direction.

    Args:
        x: (batch, H, W, D).
        x_proj_weight: (K, R + 2N, D).
        dt_proj_weight: (K, D, R).
        state_size: N.

    Returns:
        u and delta, (batch, K * D, L); B and C, (batch, K, N, L), with L = H * W.
    """
    rank = dt_proj_weight.shape[2]
    u = cross_scan(x, dt_proj_weight.shape[0]).flatten(1, 2)
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
    """Scan of a map in its directions through a 1-D scan; arguments and result as in `operators.selective_scan_2d`."""
    u, delta, B, C = scan_arguments_2d(x, x_proj_weight, dt_proj_weight, A.shape[1])
    y = selective_scan(u, delta, A, B, C, D, dt_proj_bias.flatten(), True)
    return cross_merge(y.unflatten(1, [-1, x.shape[3]]), x.shape[1], x.shape[2])
