"""The selective scan written as its definition: the truth in tests, readable, differentiable, any floating type."""

from functools import partial

import torch
from torch import Tensor

from .cross_scan import scan_by_sequences


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, delta_softplus: bool
) -> Tensor:
    """Discretise and run the state space model one step at a time.

    Formulas (Gu and Dao, Mamba, 2023, section 3; B by the Euler rule, as mamba-ssm does):
    `s = softplus(delta + delta_bias)`, `h_t = exp(s_t A) h_(t-1) + s_t B_t u_t`, `y_t = C_t . h_t + D u_t`.

    Args:
        u: input, (batch, D, L).
        delta: step size before bias and softplus, (batch, D, L).
        A: decay rates, negative, (D, N).
        B: input matrix, shared by the D / G channels of a group, (batch, G, N, L).
        C: output matrix, like `B`.
        D: skip weight, (D).
        delta_bias: added to `delta`, (D).
        delta_softplus: whether softplus is applied to the step size.

    Returns:
        y, (batch, D, L), in the type of `u`.
    """
    per_group = u.shape[1] // B.shape[1]
    step = delta + delta_bias[:, None]
    if delta_softplus:
        step = torch.logaddexp(step, torch.zeros_like(step))
    # One entry per time step, so that no tensor of L * N elements is ever made by the forward pass.
    B_steps = B.repeat_interleave(per_group, dim=1).unbind(-1)
    C_steps = C.repeat_interleave(per_group, dim=1).unbind(-1)
    state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for step_t, input_t, B_t, C_t in zip(step.unbind(-1), (step * u).unbind(-1), B_steps, C_steps, strict=True):
        state = torch.exp(step_t[..., None] * A) * state + input_t[..., None] * B_t
        outputs.append((state * C_t).sum(-1))
    return torch.stack(outputs, dim=-1) + D[:, None] * u


selective_scan_2d = partial(scan_by_sequences, selective_scan)
