"""Registers forward and backward code of a scan as a PyTorch operator for autograd, DDP and torch.compile."""

from collections.abc import Callable

import torch
from torch import Tensor


def recompute_op(name: str, forward: Callable, backward: Callable, states_shape: Callable) -> Callable:
    """Make a differentiable `selective_scan` of raw forward and backward code.

    The operator returns y and the few states the backward pass starts its recomputation from.

    Args:
        name: operator name, "igtv::..."; the backward operator gets the suffix "_backward".
        forward: (u, delta, A, B, C, D, delta_bias, delta_softplus, keep_states) -> (y, states).
        backward: (u, delta, A, B, C, D, delta_bias, delta_softplus, states, grad_y) -> seven gradients.
        states_shape: (u, A, B) -> shape of the kept states.

    Returns:
        selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus) -> y.
    """

    @torch.library.custom_op(name, mutates_args=())
    def scan(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
        delta_softplus: bool, keep_states: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        tensors = [tensor.contiguous() for tensor in (u, delta, A, B, C, D, delta_bias)]
        return forward(*tensors, delta_softplus, keep_states)

    @scan.register_fake
    def _(u, delta, A, B, C, D, delta_bias, delta_softplus, keep_states):
        return u.new_empty(u.shape), u.new_empty(states_shape(u, A, B) if keep_states else (0,))

    @torch.library.custom_op(f"{name}_backward", mutates_args=())
    def scan_backward(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
        delta_softplus: bool, states: Tensor, grad_y: Tensor,
    ) -> list[Tensor]:  # fmt: skip
        tensors = [tensor.contiguous() for tensor in (u, delta, A, B, C, D, delta_bias)]
        return backward(*tensors, delta_softplus, states, grad_y.contiguous())

    @scan_backward.register_fake
    def _(u, delta, A, B, C, D, delta_bias, delta_softplus, states, grad_y):
        return [tensor.new_empty(tensor.shape) for tensor in (u, delta, A, B, C, D, delta_bias)]

    def setup_context(ctx, inputs, output):
        *tensors, ctx.delta_softplus, _ = inputs
        ctx.save_for_backward(*tensors, output[1])
        ctx.mark_non_differentiable(output[1])

    def differentiate(ctx, grad_y, _):
        *tensors, states = ctx.saved_tensors
        return (*scan_backward(*tensors, ctx.delta_softplus, states, grad_y), None, None)

    scan.register_autograd(differentiate, setup_context=setup_context)

    def selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus: bool) -> Tensor:
        tensors = (u, delta, A, B, C, D, delta_bias)
        keep_states = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        return scan(*tensors, delta_softplus, keep_states)[0]

    return selective_scan
