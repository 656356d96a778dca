"""The selective scan in plain PyTorch, forward and backward, with memory O(L) instead of O(L * N).

Time is cut into segments whose (steps, batch, D, N) block fits the caches. Within a segment the exponentials and
contractions are batched and the recurrence is one addcmul per step. The forward pass keeps the state at each segment's
start; the backward pass recomputes the rest. Any device, fp32 and fp64: the fallback where nothing faster can be used.
"""

from functools import partial

import torch
from torch import Tensor

from .cross_scan import scan_by_sequences
from .recompute_op import recompute_op

# Elements of one (steps, batch, D, N) block: 1 MB in fp32, so that a block's few tensors stay in the L2 cache.
BLOCK_ELEMENTS = 1 << 18
BLOCK_ELEMENTS_CUDA = 1 << 24


def _block(u: Tensor, states: int) -> tuple[int, int]:
    """(batch items, steps) of one block."""
    elements = BLOCK_ELEMENTS if u.device.type == "cpu" else BLOCK_ELEMENTS_CUDA
    per_step = u.shape[1] * states
    items = max(1, min(u.shape[0], elements // (4 * per_step)))
    return items, min(u.shape[2], max(4, elements // (items * per_step)))


class _Segment:
    """Batched quantities of one segment; axes (steps, batch, groups, channels of the group, N)."""

    def __init__(self, u, delta, A, B, C, delta_bias, delta_softplus):
        batch, channels, steps = u.shape
        groups, states = B.shape[1], B.shape[2]
        self.shape = (steps, batch, groups, channels // groups, 1)
        raw = delta + delta_bias[:, None]
        self.raw = self.time_first(raw)
        self.step = torch.logaddexp(self.raw, torch.zeros_like(self.raw)) if delta_softplus else self.raw
        self.u = self.time_first(u)
        self.rates = A.view(groups, channels // groups, states)
        self.B = B.permute(3, 0, 1, 2).unsqueeze(3)
        self.C = C.permute(3, 0, 1, 2).unsqueeze(3)
        # exp(s A) - 1: a decay near 1, rounded to fp32, would be wrong in the same direction at every step.
        self.change = torch.expm1(self.step * self.rates)

    def time_first(self, tensor: Tensor) -> Tensor:
        """(batch, D, steps) -> (steps, batch, groups, channels of the group, 1)."""
        return tensor.permute(2, 0, 1).reshape(self.shape)

    def time_last(self, tensor: Tensor) -> Tensor:
        """The way back from `time_first`."""
        steps, batch, groups, per_group, _ = self.shape
        return tensor.reshape(steps, batch, groups * per_group).permute(1, 2, 0)

    def run(self, state: Tensor) -> Tensor:
        """States after every step, from the state before the first."""
        states = (self.step * self.u) * self.B
        for change_t, state_t in zip(self.change.unbind(0), states.unbind(0), strict=True):
            state = state_t.addcmul_(change_t, state).add_(state)
        return states

    def run_back(self, grad_y: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the states after every step, and what flows into the segment before."""
        grads = grad_y * self.C
        for change_t, grad_t in zip(reversed(self.change.unbind(0)), reversed(grads.unbind(0)), strict=True):
            grad_t.add_(carry)
            carry = torch.addcmul(grad_t, change_t, grad_t)
        return grads, carry


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, keep_states: bool) -> tuple[Tensor, Tensor]:
    """y and the states at the segments' starts (empty unless `keep_states`)."""
    batch, channels, length = u.shape
    items, steps = _block(u, A.shape[1])
    y = torch.empty_like(u)
    kept = u.new_empty(states_shape(u, A, B) if keep_states else (0,))
    for first in range(0, batch, items):
        part = slice(first, min(first + items, batch))
        state = u.new_zeros(part.stop - first, B.shape[1], channels // B.shape[1], A.shape[1])
        for index, start in enumerate(range(0, length, steps)):
            time = slice(start, min(start + steps, length))
            if keep_states:
                kept[index, part] = state.flatten(1, 2)
            segment = _Segment(
                u[part, :, time], delta[part, :, time], A, B[part, ..., time], C[part, ..., time], delta_bias,
                delta_softplus,
            )  # fmt: skip
            states = segment.run(state)
            state = states[-1]
            y[part, :, time] = segment.time_last((states * segment.C).sum(-1))
    return y.addcmul_(D[:, None], u), kept


def backward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, kept: Tensor, grad_y: Tensor) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D, delta_bias."""
    batch, channels, length = u.shape
    items, steps = _block(u, A.shape[1])
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    grad_B, grad_C = torch.empty_like(B), torch.empty_like(C)
    grad_A = torch.zeros_like(A)
    for first in range(0, batch, items):
        part = slice(first, min(first + items, batch))
        carry = torch.zeros_like(kept[0, part]).unflatten(1, (B.shape[1], -1))
        for start in reversed(range(0, length, steps)):
            time = slice(start, min(start + steps, length))
            segment = _Segment(
                u[part, :, time], delta[part, :, time], A, B[part, ..., time], C[part, ..., time], delta_bias,
                delta_softplus,
            )  # fmt: skip
            dy = segment.time_first(grad_y[part, :, time])
            before = kept[start // steps, part].view_as(carry)
            states = segment.run(before)
            grads, carry = segment.run_back(dy, carry)
            grad_C[part, ..., time] = (states * dy).sum(3).permute(1, 2, 3, 0)
            grad_B[part, ..., time] = (grads * (segment.step * segment.u)).sum(3).permute(1, 2, 3, 0)
            input_grad = (grads * segment.B).sum(-1, keepdim=True)
            previous = torch.cat([before[None], states[:-1]])
            decay_grad = previous.mul_(grads).mul_(torch.exp(segment.step * segment.rates))
            step_grad = (decay_grad * segment.rates).sum(-1, keepdim=True) + input_grad * segment.u
            if delta_softplus:
                step_grad = step_grad * torch.sigmoid(segment.raw)
            grad_A += (decay_grad * segment.step).sum((0, 1)).view_as(A)
            grad_u[part, :, time] = segment.time_last(input_grad * segment.step)
            grad_delta[part, :, time] = segment.time_last(step_grad)
    grad_u.addcmul_(D[:, None], grad_y)
    return [grad_u, grad_delta, grad_A, grad_B, grad_C, (grad_y * u).sum((0, 2)), grad_delta.sum((0, 2))]


def states_shape(u: Tensor, A: Tensor, B: Tensor) -> tuple[int, ...]:
    """Shape of the kept states: (segments, batch, D, N)."""
    _, steps = _block(u, A.shape[1])
    return -(-u.shape[2] // steps), u.shape[0], u.shape[1], A.shape[1]


selective_scan = recompute_op("igtv::scan_torch", forward, backward, states_shape)

selective_scan_2d = partial(scan_by_sequences, selective_scan)
