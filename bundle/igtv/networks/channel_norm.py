"""Layer norm over the channels of a channels-first map."""

import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channel axis of (N, C, h, w), every pixel by itself.

    It has no statistics over the plane or the batch, so crops and whole slices, one slice and many behave alike.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
