"""Whole volumes through the network, slice by slice, in memory that does not grow with their length."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import convert_to_dst_type
from torch import Tensor, nn
from tqdm import tqdm

SIZE_STEP = 32
SMALLEST_SIZE = 64
PIXELS_PER_STEP = 2**19  # two slices of 512 x 512
BACKGROUND = -1.0  # of CT and PET as the network sees them; what training slabs hold beyond a volume
MOST_SLICES_PER_STEP = 8  # more brings no speed on small planes, only memory


class WholeVolumeInferer(Inferer):
    """Segment volumes with every slice encoded once.

    Slices are padded in-plane to a size the network takes (with the volume's lowest value per channel), encoded a few
    at a time and kept only while a later slice needs them as neighbours: at most `slices_per_step` plus twice the
    network's `sim_radius` slices at any time. The result equals the network applied to the whole padded volume.

    Another network, such as MONAI's SegResNet, is run by MONAI's SlidingWindowInferer; a volume smaller than the window
    is surrounded by the lowest CT and PET value the network knows, -1.

    Args:
        slices_per_step: slices encoded at a time; None: as many as make half a million pixels, at most 8.
        progress: show a progress bar over slices.
        output_device: where the logits are gathered; None: where the input is.
        window_size: window (H, W, S) of the sliding window for other networks.
        window_overlap: overlap of these windows, 0 to below 1.
        mixed_precision: compute products and convolutions in bfloat16 (the scan stays in float32). Faster on GPUs and
            on processors with AMX or AVX-512 BF16, slower on others.
    """

    def __init__(
        self,
        slices_per_step: int | None = None,
        progress: bool = False,
        output_device: torch.device | str | None = None,
        window_size: Sequence[int] = (96, 96, 32),
        window_overlap: float = 0.5,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__()
        if slices_per_step is not None and slices_per_step < 1:
            raise ValueError(f"slices_per_step must be at least 1, got {slices_per_step}")
        self.slices_per_step = slices_per_step
        self.progress = progress
        self.output_device = output_device
        self.window_size = tuple(window_size)
        self.window_overlap = window_overlap
        self.mixed_precision = mixed_precision

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: nn.Module) -> Tensor:
        """Map volumes (B, channels, H, W, S) of any H, W and S to logits (B, 1, H, W, S), float32.

        Raises:
            ValueError: the input is not five-dimensional.
        """
        if inputs.dim() != 5:
            raise ValueError(f"a volume must be (batch, channels, H, W, slices), got shape {tuple(inputs.shape)}")
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        network = getattr(network, "module", network)  # DistributedDataParallel hides encode and decode
        output_device = plain.device if self.output_device is None else torch.device(self.output_device)
        with torch.autocast(_device_of(network, plain).type, torch.bfloat16, enabled=self.mixed_precision):
            if hasattr(network, "sim_radius"):  # not `encode`, which SegResNet has too
                output = torch.empty((plain.shape[0], 1, *plain.shape[2:]), device=output_device)
                for first, logits in self._stream(plain, network):
                    output[..., first : first + logits.shape[-1]] = logits
            else:
                output = self._slide(plain, network, output_device)
        if isinstance(inputs, MetaTensor):
            description = MetaTensor([]).copy_meta_from(inputs, copy_attr=False)
            output = convert_to_dst_type(output, description, device=output_device)[0]
        return output

    def _stream(self, volume: Tensor, network: nn.Module) -> Iterator[tuple[int, Tensor]]:
        """Yield (first slice, logits (B, 1, H, W, count)) from the first slice to the last."""
        batch, _, height, width, slices = volume.shape
        radius = int(network.sim_radius)
        device = _device_of(network, volume)
        padding = [*_margins(width), *_margins(height)]
        fill = volume.amin(dim=(0, 2, 3, 4))
        step = self.slices_per_step or min(MOST_SLICES_PER_STEP, max(1, PIXELS_PER_STEP // (height * width)))

        held: list[Tensor] = []  # maps (B, slices held, C, h, w)
        held_first = decoded = 0
        bar = tqdm(total=slices, desc="segmenting", unit="slice", disable=not self.progress)
        for first in range(0, slices, step):
            last = min(first + step, slices)
            chunk = _padded(volume[..., first:last].to(device), padding, fill)
            maps = [stacked.unflatten(0, (batch, last - first)) for stacked in network.encode(chunk)]
            held = [torch.cat(pair, dim=1) for pair in zip(held, maps, strict=True)] if held else maps
            del maps
            ready = slices if last == slices else max(decoded, last - radius)
            if ready > decoded:
                stacks = [stack.flatten(0, 1) for stack in held]
                logits = network.decode(stacks, last - held_first, decoded - held_first, ready - decoded).float()
                top, left = padding[2], padding[0]
                yield decoded, logits[:, :, top : top + height, left : left + width]
                bar.update(ready - decoded)
                decoded = ready
            needed = max(held_first, decoded - radius)
            # copies: a view would keep the maps of the whole step in memory
            held = [stack[:, needed - held_first :].clone() for stack in held]
            held_first = needed
        bar.close()

    def _slide(self, volume: Tensor, network: nn.Module, output_device: torch.device) -> Tensor:
        inferer = SlidingWindowInferer(
            roi_size=self.window_size,
            sw_batch_size=4,
            overlap=self.window_overlap,
            mode="gaussian",
            cval=BACKGROUND,
            sw_device=_device_of(network, volume),
            device=output_device,
            progress=self.progress,
        )
        return inferer(volume, network).float()


def _device_of(network: nn.Module, volume: Tensor) -> torch.device:
    parameter = next(iter(network.parameters()), None) if isinstance(network, nn.Module) else None
    return volume.device if parameter is None else parameter.device


def _margins(size: int) -> tuple[int, int]:
    """Padding before and after an axis, up to a size the network takes."""
    missing = max(SMALLEST_SIZE, math.ceil(size / SIZE_STEP) * SIZE_STEP) - size
    return missing // 2, missing - missing // 2


def _padded(chunk: Tensor, padding: list[int], fill: Tensor) -> Tensor:
    """Pad H and W of (B, C, H, W, S); `fill` has one value per channel."""
    if not any(padding):
        return chunk
    fill = fill.to(chunk.device)[:, None, None, None]
    return F.pad(chunk - fill, [0, 0, *padding]) + fill
