"""Checks of the scan's arguments: what is wrong, which value, what is expected."""

from torch import Tensor

DIRECTIONS = (1, 2, 4)


def _expect(name: str, tensor: Tensor | None, expected: tuple[int, ...], meaning: str) -> None:
    if tensor is not None and tuple(tensor.shape) != expected:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {expected} = {meaning}")


def check_scan_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> None:
    """Raise ValueError unless the arguments of `selective_scan` fit together."""
    if u.ndim != 3 or A.ndim != 2 or B.ndim != 4:
        raise ValueError(
            f"u, A, B have {u.ndim}, {A.ndim}, {B.ndim} axes, expected 3 (batch, D, L), 2 (D, N), 4 (batch, G, N, L)"
        )
    batch, channels, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    if length == 0 or groups == 0 or channels % groups:
        raise ValueError(
            f"u has {channels} channels and {length} steps: needs steps, and a multiple of {groups} groups"
        )
    _expect("delta", delta, (batch, channels, length), "(batch, D, L)")
    _expect("A", A, (channels, states), "(D, N)")
    _expect("B", B, (batch, groups, states, length), "(batch, G, N, L)")
    _expect("C", C, (batch, groups, states, length), "(batch, G, N, L)")
    _expect("D", D, (channels,), "(D)")
    _expect("delta_bias", delta_bias, (channels,), "(D)")


def check_scan_2d_shapes(
    x: Tensor, x_proj_weight: Tensor, dt_proj_weight: Tensor, dt_proj_bias: Tensor, A: Tensor, D: Tensor
) -> None:
    """Raise ValueError unless the arguments of `selective_scan_2d` fit together."""
    if x.ndim != 4 or dt_proj_weight.ndim != 3 or A.ndim != 2:
        raise ValueError(
            f"x, dt_proj_weight, A have {x.ndim}, {dt_proj_weight.ndim}, {A.ndim} axes, "
            "expected 4 (batch, H, W, D), 3 (K, D, R), 2 (K * D, N)"
        )
    if 0 in x.shape[1:]:
        raise ValueError(f"x has shape {tuple(x.shape)}: H, W and D must be at least 1")
    directions, channels, rank, states = dt_proj_weight.shape[0], x.shape[3], dt_proj_weight.shape[2], A.shape[1]
    if directions not in DIRECTIONS:
        raise ValueError(f"dt_proj_weight has {directions} directions K, expected one of {DIRECTIONS}")
    _expect("x_proj_weight", x_proj_weight, (directions, rank + 2 * states, channels), "(K, R + 2N, D)")
    _expect("dt_proj_weight", dt_proj_weight, (directions, channels, rank), "(K, D, R)")
    _expect("dt_proj_bias", dt_proj_bias, (directions, channels), "(K, D)")
    _expect("A", A, (directions * channels, states), "(K * D, N)")
    _expect("D", D, (directions * channels,), "(K * D)")
