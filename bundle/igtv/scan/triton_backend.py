"""Back end `triton`: kernels compiled for the GPU at the first call; needs nothing but PyTorch's CUDA build."""

import contextlib
from functools import partial

import torch
import triton
from torch import Tensor

from . import torch_backend, triton_kernels
from .cross_scan import scan_by_sequences
from .recompute_op import recompute_op

# Steps of a chunk: with 128 and more, the backward kernel no longer fits the registers of common GPUs.
CHUNK = 64


def states_shape(u: Tensor, A: Tensor, B: Tensor) -> tuple[int, ...]:
    """Shape of the kept states: (batch, D, chunks, N)."""
    return u.shape[0], u.shape[1], -(-u.shape[2] // CHUNK), A.shape[1]


def _on_device(tensor: Tensor):
    """Launch on the tensor's GPU, which need not be the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _sizes(u: Tensor, A: Tensor, B: Tensor) -> tuple[int, ...]:
    """channels, channels per group, L, chunks, N, and N rounded up to a power of two."""
    channels, length, states = u.shape[1], u.shape[2], A.shape[1]
    chunks = -(-length // CHUNK)
    return channels, channels // B.shape[1], length, chunks, states, triton.next_power_of_2(states)


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, keep_states: bool) -> tuple[Tensor, Tensor]:
    """y and the states at the chunks' starts (empty unless `keep_states`)."""
    y = torch.empty_like(u)
    kept = u.new_empty(states_shape(u, A, B) if keep_states else (0,))
    if u.numel():
        with _on_device(u):
            triton_kernels.forward_kernel[(u.shape[0] * u.shape[1],)](
                u, delta, A, B, C, D, delta_bias, y, kept, *_sizes(u, A, B), CHUNK, keep_states, delta_softplus,
                num_warps=1,
            )  # fmt: skip
    return y, kept


def backward(u, delta, A, B, C, D, delta_bias, delta_softplus: bool, kept: Tensor, grad_y: Tensor) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D, delta_bias."""
    batch, channels, _ = u.shape
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    grad_B, grad_C = torch.zeros_like(B), torch.zeros_like(C)
    grad_A = A.new_empty(batch, *A.shape)
    grad_D, grad_bias = D.new_empty(batch, channels), D.new_empty(batch, channels)
    if u.numel():
        with _on_device(u):
            triton_kernels.backward_kernel[(batch * channels,)](
                u, delta, A, B, C, D, delta_bias, kept, grad_y,
                grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias,
                *_sizes(u, A, B), CHUNK, delta_softplus, num_warps=2,
            )  # fmt: skip
    return [grad_u, grad_delta, grad_A.sum(0), grad_B, grad_C, grad_D.sum(0), grad_bias.sum(0)]


_selective_scan_fp32 = recompute_op("igtv::scan_triton", forward, backward, states_shape)


def selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus: bool) -> Tensor:
    """As in `operators.selective_scan`; fp64 is left to PyTorch."""
    scan = torch_backend.selective_scan if u.dtype == torch.float64 else _selective_scan_fp32
    return scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


selective_scan_2d = partial(scan_by_sequences, selective_scan)
