"""The form of the scan that TorchScript can hold: plain typed tensor operations, no custom operator, any size.

Exported files use it, so that they run in a process that has nothing but PyTorch. Differentiable by autograd.
"""

import torch
from torch import Tensor

from .cross_scan import cross_merge, scan_arguments_2d


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    block_elements: int = 1 << 18,
) -> Tensor:
    """Run the recurrence in segments: exponentials and contractions per segment, one addcmul per step.

    Arguments, shapes and result as in `operators.selective_scan`; `block_elements` limits a segment's
    (steps, batch, D, N) block: 1 MB in fp32, so that its few tensors stay in the caches.
    """
    compute_type = torch.float64 if u.dtype == torch.float64 else torch.float32
    u, delta, A = u.to(compute_type), delta.to(compute_type), A.to(compute_type)
    B, C = B.to(compute_type), C.to(compute_type)
    batch, channels, length = u.shape
    groups, states = B.shape[1], B.shape[2]
    if delta_bias is not None:
        delta = delta + delta_bias.to(compute_type)[:, None]
    if delta_softplus:
        delta = torch.logaddexp(delta, torch.zeros_like(delta))
    step = delta.permute(2, 0, 1).reshape(length, batch, groups, channels // groups, 1)
    weighted_input = step * u.permute(2, 0, 1).reshape(step.shape)
    B_steps, C_steps = B.permute(3, 0, 1, 2).unsqueeze(3), C.permute(3, 0, 1, 2).unsqueeze(3)
    rates = A.reshape(groups, channels // groups, states)
    state = torch.zeros([batch, groups, channels // groups, states], dtype=compute_type, device=u.device)
    segment = max(1, block_elements // max(1, batch * channels * states))
    outputs: list[Tensor] = []
    for start in range(0, length, segment):
        stop = min(start + segment, length)
        decays = torch.exp(step[start:stop] * rates).unbind(0)
        inputs = (weighted_input[start:stop] * B_steps[start:stop]).unbind(0)
        states_of_segment: list[Tensor] = []
        for decay, value in zip(decays, inputs):  # noqa: B905 (TorchScript's zip has no `strict`)
            state = torch.addcmul(value, decay, state)
            states_of_segment.append(state)
        outputs.append((torch.stack(states_of_segment) * C_steps[start:stop]).sum(-1))
    y = torch.cat(outputs).reshape(length, batch, channels).permute(1, 2, 0)
    if D is not None:
        y = y + D.to(compute_type)[:, None] * u
    return y.contiguous()


def selective_scan_2d(
    x: Tensor, x_proj_weight: Tensor, dt_proj_weight: Tensor, dt_proj_bias: Tensor, A: Tensor, D: Tensor
) -> Tensor:
    """Scan of a map in its directions; arguments and result as in `operators.selective_scan_2d`."""
    compute_type = torch.float64 if x.dtype == torch.float64 else torch.float32
    height, width = x.shape[1], x.shape[2]
    u, delta, B, C = scan_arguments_2d(
        x.to(compute_type), x_proj_weight.to(compute_type), dt_proj_weight.to(compute_type), A.shape[1]
    )
    y = selective_scan(u, delta, A, B, C, D, dt_proj_bias.flatten(), True)
    return cross_merge(y.unflatten(1, [-1, x.shape[3]]), height, width)
