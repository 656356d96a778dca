"""Dynamic cross-modality interaction module (DCIM) of CIPA, arXiv 2503.17261.

A region is a 4 x 4 window of the map and its words are the 16 positions. Words come from CT and are scanned inside
each window; one token per region comes from PET and is scanned over the whole map, then added to all its words.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .channel_norm import ChannelNorm
from .ss2d import SS2D

WINDOW = 4


def _convolutions(widths: list[int], strides: list[int], batch_norm: bool) -> nn.Sequential:
    """Chain 3 x 3 convolutions, each with its norm and a ReLU."""
    layers: list[nn.Module] = []
    for stride, before, after in zip(strides, widths[:-1], widths[1:], strict=True):
        norm = nn.BatchNorm2d(after) if batch_norm else ChannelNorm(after)
        layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), norm, nn.ReLU()]
    return nn.Sequential(*layers)


class RegionWordInteraction(nn.Module):
    """Interaction of CT words with PET regions.

    Args:
        width: channels C.
        state_size: states per channel of the scans.
        expansion: inner width of the scans over `width`.
        batch_norm: norm of the token stems as published; otherwise a layer norm over channels, which trains with
            one slice and one region.
    """

    def __init__(self, width: int, state_size: int, expansion: int, batch_norm: bool) -> None:
        super().__init__()
        self.window: int = WINDOW
        smallest = 1 if batch_norm else 4  # a layer norm over one channel would leave nothing of it
        narrow = [max(smallest, width // 16), max(smallest, width // 8), max(smallest, width // 4)]
        self.word_stem = _convolutions([width, narrow[2], width], [1, 1], batch_norm)
        self.region_stem = _convolutions([width, *narrow, width], [1, 2, 2, 1], batch_norm)
        self.word_norm = nn.LayerNorm(WINDOW * WINDOW * width)
        self.word_ss2d = SS2D(width, state_size, expansion)
        self.region_norm = nn.LayerNorm(width)
        self.region_ss2d = SS2D(width, state_size, expansion)

    def forward(self, ct: Tensor, pet: Tensor) -> Tensor:
        """Map gated CT and PET maps (N, C, h, w) to their interaction (N, C, h, w).

        Maps whose size is no multiple of the window are padded with zeros and the result is cropped.
        """
        window = self.window
        height, width = ct.shape[2], ct.shape[3]
        padding = [0, (window - width % window) % window, 0, (window - height % window) % window]
        words = self.word_stem(F.pad(ct, padding)).permute(0, 2, 3, 1)
        regions = self.region_stem(F.pad(pet, padding)).permute(0, 2, 3, 1)  # (N, h/4, w/4, C)
        regions = regions + self.region_ss2d(self.region_norm(regions))

        n, rows, columns, channels = regions.shape
        words = words.reshape(n, rows, window, columns, window, channels).transpose(2, 3)
        words = words.reshape(n * rows * columns, window, window, channels)
        normalised = self.word_norm(words.flatten(1)).view(words.shape)
        words = words + self.word_ss2d(normalised)

        words = words.view(n, rows, columns, window, window, channels) + regions[:, :, :, None, None]
        words = words.transpose(2, 3).reshape(n, rows * window, columns * window, channels)
        return words[:, :height, :width].permute(0, 3, 1, 2)
