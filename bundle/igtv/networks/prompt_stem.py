"""Stem of interactive prompts: extra input channels that change nothing until they are trained."""

from torch import Tensor, nn


class PromptStem(nn.Module):
    """Embed prompt channels (clicks inside, clicks outside, marked end slices) beside the image's own stems.

    The weights start at zero, so that a network with this stem is the same function as one without until trained.

    Args:
        channels: prompt channels P.
        width: channels C0 of the patch embedding.
        detail_width: channels of the full-resolution detail map, 0 where the network has none.
    """

    def __init__(self, channels: int, width: int, detail_width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, 4, stride=4, bias=False)
        nn.init.zeros_(self.patches.weight)
        self.details: nn.Conv2d | None = None
        if detail_width:
            self.details = nn.Conv2d(channels, detail_width, 3, padding=1, bias=False)
            nn.init.zeros_(self.details.weight)

    def forward(self, prompts: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map (N, P, H, W) to offsets (N, H/4, W/4, C0) and, with a detail path, (N, detail_width, H, W)."""
        details = self.details(prompts) if self.details is not None else None
        return self.patches(prompts).permute(0, 2, 3, 1), details
