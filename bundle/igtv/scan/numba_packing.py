"""Layouts the kernels read: channels in blocks of 16, padded with zeros, the channel axis last."""

import torch
from torch import Tensor
from torch.nn import functional

from .numba_simd import LANES


def block_count(channels: int) -> int:
    """Blocks of 16 channels, the last one perhaps partly filled."""
    return -(-channels // LANES)


def pack_channels(weight: Tensor) -> Tensor:
    """(groups, channels, M) -> (groups, blocks, M, 16), contiguous."""
    groups, channels, features = weight.shape
    blocks = block_count(channels)
    padded = functional.pad(weight, (0, 0, 0, blocks * LANES - channels))
    return padded.view(groups, blocks, LANES, features).transpose(2, 3).contiguous()


def unpack_channels(packed: Tensor, channels: int) -> Tensor:
    """(groups, blocks, M, 16) -> (groups, channels, M)."""
    return packed.transpose(2, 3).flatten(1, 2)[:, :channels]


def pointer_array(tensor: Tensor):
    """A flat NumPy view for a kernel."""
    return tensor.detach().reshape(-1).numpy()


def scratch(elements: int):
    """Uninitialised flat memory whose start is aligned to a cache line, as NumPy's and Numba's own is not."""
    return torch.empty(elements).numpy()


def split(count: int, part: int, parts: int) -> tuple[int, int]:
    """First and past-the-last item of one of `parts` nearly equal parts."""
    return count * part // parts, count * (part + 1) // parts
