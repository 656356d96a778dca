"""The scan along sequences by compiled kernels, as a PyTorch operator; fp32 on the CPU.

The backward pass starts from one kept state per tile of steps and recomputes the rest: memory O(L), not O(L * N).
"""

import torch
from torch import Tensor

from . import numba_kernels_1d
from .numba_packing import block_count, pack_channels, pointer_array, scratch, split, unpack_channels
from .numba_simd import LANES, LOG2_E
from .numba_tiles import TILE
from .recompute_op import recompute_op
from .thread_pool import run_parts, thread_count

# Parts of the work per thread: more than one, so that a thread that was held up does not hold up the others.
PARTS_PER_THREAD = 4


def states_shape(u: Tensor, A: Tensor, B: Tensor) -> tuple[int, ...]:
    """Shape of the kept states: (batch, groups, blocks, tiles, N, 16)."""
    batch, channels, length = u.shape
    groups = B.shape[1]
    return batch, groups, block_count(channels // groups), -(-length // TILE), A.shape[1], LANES


def _packed_parameters(A: Tensor, D: Tensor, delta_bias: Tensor, groups: int) -> tuple:
    rates = pack_channels((A * float(LOG2_E)).unflatten(0, (groups, -1)))
    skip, bias = (pack_channels(tensor.unflatten(0, (groups, -1)).unsqueeze(-1)) for tensor in (D, delta_bias))
    return tuple(pointer_array(tensor) for tensor in (rates, skip, bias))


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, keep_states: bool) -> tuple[Tensor, Tensor]:
    """y and the states at the tiles' starts (empty unless `keep_states`)."""
    batch, channels, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    y = torch.empty_like(u)
    kept = u.new_empty(states_shape(u, A, B) if keep_states else (0,))
    rates, skip, bias = _packed_parameters(A, D, delta_bias, groups)
    flat_u, flat_delta, flat_B, flat_C, flat_y, flat_kept = map(pointer_array, (u, delta, B, C, y, kept))
    items = batch * groups * block_count(channels // groups)
    parts = max(1, min(items, thread_count() * PARTS_PER_THREAD))

    def work(part: int) -> None:
        numba_kernels_1d.forward_1d(
            flat_u, flat_delta, rates, flat_B, flat_C, skip, bias, delta_softplus, flat_y, flat_kept, keep_states,
            groups, channels // groups, states, length, scratch(numba_kernels_1d.forward_scratch_1d(states)),
            *split(items, part, parts),
        )  # fmt: skip

    run_parts(work, parts)
    return y, kept


def backward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, kept: Tensor, grad_y: Tensor) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D, delta_bias; sums are formed in an order that depends on the thread count."""
    batch, channels, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    per_group = channels // groups
    blocks = block_count(per_group)
    batch_parts = max(1, min(batch, thread_count() * PARTS_PER_THREAD))
    segments = min(blocks, -(-thread_count() // (batch_parts * groups)))
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    # B and C are shared by all channels: one sum per segment of channels. Weights: one sum per part of the batch.
    grad_B, grad_C = (B.new_empty(segments, *B.shape) for _ in "BC")
    grad_rates = A.new_zeros(batch_parts, groups, blocks, states, LANES)
    grad_skip, grad_bias = (A.new_zeros(batch_parts, groups, blocks, 1, LANES) for _ in "Db")
    rates, skip, bias = _packed_parameters(A, D, delta_bias, groups)
    arrays = tuple(map(pointer_array, (u, delta, B, C, grad_y, kept, grad_u, grad_delta)))
    flat_u, flat_delta, flat_B, flat_C, flat_grad_y, flat_kept, flat_grad_u, flat_grad_delta = arrays

    def work(part: int) -> None:
        rest, segment = divmod(part, segments)
        batch_part, group = divmod(rest, groups)
        first_block, last_block = split(blocks, segment, segments)
        numba_kernels_1d.backward_1d(
            flat_u, flat_delta, rates, flat_B, flat_C, skip, bias, delta_softplus, flat_grad_y, flat_kept,
            flat_grad_u, flat_grad_delta, pointer_array(grad_rates[batch_part]), pointer_array(grad_B[segment]),
            pointer_array(grad_C[segment]), pointer_array(grad_skip[batch_part]), pointer_array(grad_bias[batch_part]),
            groups, per_group, states, length,
            scratch(numba_kernels_1d.backward_scratch_1d(states, last_block - first_block)),
            group, first_block, last_block, *split(batch, batch_part, batch_parts),
        )  # fmt: skip

    run_parts(work, batch_parts * groups * segments)
    grad_A = unpack_channels(grad_rates.sum(0), per_group).flatten(0, 1)
    grad_D, grad_delta_bias = (unpack_channels(total.sum(0), per_group).flatten() for total in (grad_skip, grad_bias))
    return [grad_u, grad_delta, grad_A, grad_B.sum(0), grad_C.sum(0), grad_D, grad_delta_bias]


selective_scan = recompute_op("igtv::scan_numba", forward, backward, states_shape)
