"""The scan of a map in its directions by compiled kernels, as a PyTorch operator; fp32 on the CPU.

The projection to ranks, B and C stays a matrix product of PyTorch; all that follows is one kernel. Nothing of the size
of the sequences is made, and the backward pass starts from one kept state per tile.
"""

import torch
from torch import Tensor

from . import numba_kernels_2d
from .cross_scan import project
from .numba_packing import block_count, pack_channels, pointer_array, scratch, split, unpack_channels
from .numba_simd import LANES, LOG2_E
from .numba_tiles import TILE
from .thread_pool import run_parts, thread_count

# Parts of the work per thread: more than one, so that a thread that was held up does not hold up the others.
PARTS_PER_THREAD = 4


def _states_shape(x: Tensor, A: Tensor) -> tuple[int, ...]:
    """Shape of the kept states: (batch, K, blocks, tiles, N, 16)."""
    batch, height, width, channels = x.shape
    return batch, A.shape[0] // channels, block_count(channels), -(-height * width // TILE), A.shape[1], LANES


def _packed_parameters(dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor) -> tuple:
    """Step-size weight, bias, decay rates in units of log2(e) and skip, as the kernels read them."""
    rates, skip = (tensor.unflatten(0, (len(dt_weight), -1)) for tensor in (A * float(LOG2_E), D.unsqueeze(-1)))
    per_direction = (dt_weight, dt_bias.unsqueeze(-1), rates, skip)
    return tuple(pointer_array(pack_channels(tensor)) for tensor in per_direction)


def _parts(batch: int, blocks: int) -> tuple[int, int]:
    """(parts of the batch, segments of the channel blocks)."""
    batch_parts = max(1, min(batch, thread_count() * PARTS_PER_THREAD))
    return batch_parts, min(blocks, -(-thread_count() // batch_parts))


@torch.library.custom_op("igtv::scan_2d_numba", mutates_args=())
def _scan_2d(
    x: Tensor, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor, keep_states: bool
) -> tuple[Tensor, Tensor]:
    batch, height, width, channels = x.shape
    states, rank = A.shape[1], dt_weight.shape[2]
    blocks = block_count(channels)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    kept = x.new_empty(_states_shape(x, A) if keep_states else (0,))
    parameters = _packed_parameters(dt_weight, dt_bias, A, D)
    arrays = (*map(pointer_array, (x, projected)), *parameters, *map(pointer_array, (y, kept)))
    batch_parts, segments = _parts(batch, blocks)

    def work(part: int) -> None:
        batch_part, segment = divmod(part, segments)
        first_block, last_block = split(blocks, segment, segments)
        memory = scratch(numba_kernels_2d.forward_scratch_2d(states, rank, last_block - first_block))
        numba_kernels_2d.forward_2d(
            *arrays, keep_states, len(dt_weight), height, width, channels, states, rank, memory,
            first_block, last_block, *split(batch, batch_part, batch_parts),
        )  # fmt: skip

    run_parts(work, batch_parts * segments)
    return y, kept


@_scan_2d.register_fake
def _(x, projected, dt_weight, dt_bias, A, D, keep_states):
    return x.new_empty(x.shape), x.new_empty(_states_shape(x, A) if keep_states else (0,))


@torch.library.custom_op("igtv::scan_2d_numba_backward", mutates_args=())
def _scan_2d_backward(
    x: Tensor, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor, kept: Tensor, grad_y: Tensor
) -> list[Tensor]:
    batch, height, width, channels = x.shape
    states, rank = A.shape[1], dt_weight.shape[2]
    blocks = block_count(channels)
    batch_parts, segments = _parts(batch, blocks)
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    grad_projected = projected.new_empty(segments, *projected.shape)
    sums = [x.new_zeros(batch_parts, len(dt_weight), blocks, rows, LANES) for rows in (rank, 1, states, 1)]
    inputs = tuple(map(pointer_array, (x, projected)))
    inputs += _packed_parameters(dt_weight, dt_bias, A, D) + tuple(map(pointer_array, (grad_y, kept)))

    def work(part: int) -> None:
        batch_part, segment = divmod(part, segments)
        first_block, last_block = split(blocks, segment, segments)
        memory = scratch(numba_kernels_2d.backward_scratch_2d(states, rank, last_block - first_block))
        numba_kernels_2d.backward_2d(
            *inputs, pointer_array(grad_x), pointer_array(grad_projected[segment]),
            *(pointer_array(total[batch_part]) for total in sums),
            len(dt_weight), height, width, channels, states, rank, memory,
            first_block, last_block, *split(batch, batch_part, batch_parts),
        )  # fmt: skip

    run_parts(work, batch_parts * segments)
    grad_weight, grad_bias, grad_A, grad_D = (unpack_channels(total.sum(0), channels) for total in sums)
    grad_projected = grad_projected[0] if segments == 1 else grad_projected.sum(0)
    gradients = [grad_x, grad_projected, grad_weight, grad_bias.flatten(1), grad_A.flatten(0, 1), grad_D.flatten()]
    return [gradient.contiguous() for gradient in gradients]


@_scan_2d_backward.register_fake
def _(x, projected, dt_weight, dt_bias, A, D, kept, grad_y):
    return [tensor.new_empty(tensor.shape) for tensor in (x, projected, dt_weight, dt_bias, A, D)]


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:-1], output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx, grad_y, _):
    return (*_scan_2d_backward(*ctx.saved_tensors, grad_y), None)


_scan_2d.register_autograd(_differentiate, setup_context=_setup_context)


def selective_scan_2d(x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D) -> Tensor:
    """As in `operators.selective_scan_2d`, fp32."""
    tensors = (x, project(x, x_proj_weight), dt_proj_weight, dt_proj_bias, A, D)
    keep_states = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return _scan_2d(*tensors, keep_states)[0]
