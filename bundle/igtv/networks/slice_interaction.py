"""Slice interaction module (SIM): lets each slice borrow from its neighbours within a radius.

The idea is that of arXiv 2509.22841 (relations between slices for the IGTV); the two forms here are our own. Both are
residual with a scale per channel that starts at zero, so that a new module leaves the 2-D network as it is, use no
statistics over slices, and see slice s through s-r..s+r alone; slices outside the volume contribute nothing.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _neighbourhood(stack: Tensor, radius: int, start: int, count: int) -> Tensor:
    """Return slices start-radius .. start+count-1+radius of (B, S, ...), zeros outside the stack."""
    first = max(0, start - radius)
    last = min(stack.shape[1], start + count + radius)
    parts = [stack[:, first:last]]
    before = first - (start - radius)
    after = start + count + radius - last
    if before > 0:
        parts.insert(0, torch.zeros_like(stack[:, :1]).repeat_interleave(before, dim=1))
    if after > 0:
        parts.append(torch.zeros_like(stack[:, :1]).repeat_interleave(after, dim=1))
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class GatedSliceMixing(nn.Module):
    """Variant A: depthwise mixing over slices, gated by a channel and a spatial attention branch.

    Args:
        width: channels C.
        radius: neighbours r on each side.
    """

    def __init__(self, width: int, radius: int) -> None:
        super().__init__()
        support = 2 * radius + 1
        hidden = max(8, width // 16)
        self.radius: int = radius
        self.gamma = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.w_o = nn.Parameter(torch.full((support, width), 1.0 / support))
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.descriptor_conv = nn.Conv1d(width, width, support, groups=width, bias=False)
        self.channel_mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.spatial_conv = nn.Conv2d(2 * support, 1, 7, padding=3)
        self.pointwise = nn.Linear(width, width)

    def forward(self, x: Tensor, start: int, count: int) -> Tensor:
        """Mix the slices of a stack.

        Args:
            x: (B, S, C, h, w); the end of the stack counts as the end of the volume.
            start: first slice to return.
            count: number of slices to return.

        Returns:
            (B, count, C, h, w).
        """
        batch, _, channels, height, width = x.shape
        v = _neighbourhood(self.norm(x.permute(0, 1, 3, 4, 2)), self.radius, start, count)  # (B, T, h, w, C)

        mixed = v[:, 0:count] * self.w_o[0]
        for offset in range(1, 2 * self.radius + 1):
            mixed = mixed + v[:, offset : offset + count] * self.w_o[offset]
        mixed = self.depthwise(mixed.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (B*count, h, w, C)

        descriptors = torch.stack([v.mean(dim=[2, 3]), v.amax(dim=[2, 3])])  # (2, B, T, C)
        descriptors = self.descriptor_conv(descriptors.flatten(0, 1).transpose(1, 2)).transpose(1, 2)
        channel_gate = torch.sigmoid(self.channel_mlp(descriptors).view(2, batch, count, channels).sum(0))

        planes = torch.stack([v.mean(dim=-1), v.amax(dim=-1)], dim=2)  # (B, T, 2, h, w)
        planes = torch.stack([planes[:, o : o + count] for o in range(2 * self.radius + 1)], dim=2)
        spatial_gate = torch.sigmoid(self.spatial_conv(planes.flatten(0, 1).flatten(1, 2)))  # (B*count, 1, h, w)

        gated = F.gelu(mixed) * channel_gate.view(-1, 1, 1, channels) * spatial_gate.permute(0, 2, 3, 1)
        correction = (self.gamma * self.pointwise(gated)).view(batch, count, height, width, channels)
        return x[:, start : start + count] + correction.permute(0, 1, 4, 2, 3)


class NeighbourDifferences(nn.Module):
    """Variant B: every slice queries its neighbours and mixes in their differences to itself.

    Where neighbours agree the correction is what the biases make of zero; absent neighbours are left out of the
    softmax.

    Args:
        width: channels C, a multiple of the 8 heads.
        radius: neighbours r on each side, at least 1.
    """

    HEADS = 8
    HEAD_WIDTH = 16

    def __init__(self, width: int, radius: int) -> None:
        super().__init__()
        if radius < 1:
            raise ValueError(f"sim='B' compares a slice with its neighbours and needs sim_radius >= 1, got {radius}")
        if width % self.HEADS:
            raise ValueError(f"sim='B' splits channels into {self.HEADS} heads, which {width} channels do not allow")
        self.radius: int = radius
        self.heads: int = self.HEADS
        self.gamma = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(2 * width, self.HEADS * self.HEAD_WIDTH)
        self.key = nn.Linear(2 * width, self.HEADS * self.HEAD_WIDTH, bias=False)  # a bias would cancel in the softmax
        self.offset_bias = nn.Parameter(torch.zeros(2 * radius, self.HEADS))
        self.spatial_embed = nn.Linear(width, self.HEAD_WIDTH)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, x: Tensor, start: int, count: int) -> Tensor:
        """Mix the slices of a stack; arguments and result as in `GatedSliceMixing.forward`."""
        batch, slices, channels, height, width = x.shape
        normalised = self.norm(x.permute(0, 1, 3, 4, 2))
        v = _neighbourhood(normalised, self.radius, start, count)  # (B, T, h, w, C)
        descriptors = torch.cat([v.mean(dim=[2, 3]), v.amax(dim=[2, 3])], dim=-1)  # (B, T, 2C)
        centre = v[:, self.radius : self.radius + count]
        weights = self._channel_weights(descriptors, slices, start, count)  # (2r, B, count, heads)
        embedded = F.normalize(self.spatial_embed(v), dim=-1)
        centre_embedded = embedded[:, self.radius : self.radius + count]

        mixed = torch.zeros_like(centre)
        for index in range(2 * self.radius):
            offset = index if index < self.radius else index + 1
            cosine = (centre_embedded * embedded[:, offset : offset + count]).sum(-1, keepdim=True)
            weight = weights[index].repeat_interleave(channels // self.heads, dim=-1)[:, :, None, None]
            mixed = mixed + weight * torch.sigmoid(4 * cosine) * (v[:, offset : offset + count] - centre)

        mixed = self.depthwise(mixed.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        correction = (self.gamma * self.pointwise(F.gelu(mixed))).view(batch, count, height, width, channels)
        return x[:, start : start + count] + correction.permute(0, 1, 4, 2, 3)

    def _channel_weights(self, descriptors: Tensor, slices: int, start: int, count: int) -> Tensor:
        """Softmax over the present neighbours of (B, T, 2C) descriptors: (2r, B, count, heads)."""
        batch, length = descriptors.shape[0], descriptors.shape[1]
        query = self.query(descriptors[:, self.radius : self.radius + count]).view(batch, count, self.heads, -1)
        key = self.key(descriptors).view(batch, length, self.heads, -1)
        position = torch.arange(start, start + count, device=descriptors.device)
        scores: list[Tensor] = []
        present: list[Tensor] = []
        for index in range(2 * self.radius):
            offset = index if index < self.radius else index + 1
            score = (query * key[:, offset : offset + count]).sum(-1) / math.sqrt(query.shape[-1])
            scores.append(score + self.offset_bias[index])
            neighbour = position + (offset - self.radius)
            present.append(((neighbour >= 0) & (neighbour < slices)).view(1, count, 1))
        mask = torch.stack(present)
        weights = torch.softmax(torch.stack(scores).float().masked_fill(~mask, -1e30), dim=0)
        return (weights * mask).to(descriptors.dtype)
