"""Random changes of the grey values of a slab, CT and PET each in its own way.

All work on `image` (2, H, W, S), channel 0 CT and channel 1 PET, both scaled linearly to -1..1 by the preprocessing;
`lower` is the scaled value of the lower end of the range, SUV 0 for PET.
"""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional

from .ranges import checked_range

CT_CHANNEL = 0
PET_CHANNEL = 1


class _RandChanneld(RandomizableTransform, MapTransform):
    """Draws parameters, then changes one channel of a copy of `image`."""

    channel: int

    def __init__(self, keys: KeysCollection, prob: float, lower: float, upper: float, allow_missing_keys: bool) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if not lower < upper:
            raise ValueError(f"lower={lower} must be below upper={upper}")
        self.lower = lower
        self.upper = upper

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            self.randomize(result[key].shape[-1])
            if self._do_transform:
                image = result[key].clone()
                image[self.channel] = self.apply(image[self.channel]).clamp_(self.lower, self.upper)
                result[key] = image
        return result

    def apply(self, channel: torch.Tensor) -> torch.Tensor:
        """Change a (H, W, S) channel with the parameters drawn last; the result may share no memory with it."""
        raise NotImplementedError

    def _noise(self, shape: torch.Size) -> torch.Tensor:
        """White noise of the shape (H, W, S); slice after slice in memory, as `SlabDataset` keeps its slabs."""
        generator = torch.Generator().manual_seed(self.noise_seed)
        return torch.randn((shape[2], shape[0], shape[1]), generator=generator).permute(1, 2, 0)


class RandCtIntensityd(_RandChanneld):
    """CT: gain, offset, gamma and noise.

    Args:
        keys: of the images.
        prob: of any change.
        gain: factor about the middle of the range, within 1 +- this.
        offset: shift, within +- this; 0.04 is 28 HU where -1..1 stands for 1400 HU.
        gamma_range: exponent on the range scaled to 0..1, from-to, drawn evenly on the log scale.
        noise_std: upper bound of the standard deviation of white noise, drawn evenly from 0.
        lower, upper: the range, values beyond it are cut.
        allow_missing_keys: leave keys out that are not there.

    Raises:
        ValueError: a range that is none, of values that are not above 0.
    """

    channel = CT_CHANNEL

    def __init__(
        self,
        keys: KeysCollection = "image",
        prob: float = 0.5,
        gain: float = 0.1,
        offset: float = 0.04,
        gamma_range: Sequence[float] = (0.8, 1.25),
        noise_std: float = 0.04,
        lower: float = -1.0,
        upper: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, lower, upper, allow_missing_keys)
        self.max_gain = gain
        self.max_offset = offset
        self.gamma_range = checked_range(gamma_range, "gamma_range", above=0)
        self.max_noise_std = noise_std

    def randomize(self, num_slices: int) -> None:
        super().randomize(None)
        self.gain = 1 + self.R.uniform(-self.max_gain, self.max_gain)
        self.offset = self.R.uniform(-self.max_offset, self.max_offset)
        self.gamma = math.exp(self.R.uniform(*np.log(self.gamma_range)))
        self.noise_std = self.R.uniform(0, self.max_noise_std)
        self.noise_seed = int(self.R.randint(2**31))

    def apply(self, channel: torch.Tensor) -> torch.Tensor:
        extent = self.upper - self.lower
        channel = (((channel - self.lower) / extent).clamp_(0, 1) ** self.gamma) * extent + self.lower
        middle = (self.upper + self.lower) / 2
        channel = (channel - middle) * self.gain + middle + self.offset
        return channel + self._noise(channel.shape) * self.noise_std


class RandPetIntensityd(_RandChanneld):
    """PET: another uptake, another scanner (blur, noise).

    Args:
        keys: of the images.
        prob: of any change.
        scale_range: factor on the SUV, from-to, drawn evenly on the log scale.
        gamma_range: exponent on the range scaled to 0..1, from-to, drawn evenly on the log scale.
        blur_sigma_px: upper bound of the standard deviation of an in-plane Gaussian blur in pixels, drawn from 0.
        noise_std: upper bound of the noise's standard deviation at the SUV of `upper`, drawn from 0; the noise
            grows with the square root of the SUV, as counts do.
        lower, upper: the range, values beyond it are cut.
        allow_missing_keys: leave keys out that are not there.

    Raises:
        ValueError: a range that is none, of values that are not above 0.
    """

    channel = PET_CHANNEL

    def __init__(
        self,
        keys: KeysCollection = "image",
        prob: float = 0.5,
        scale_range: Sequence[float] = (0.8, 1.25),
        gamma_range: Sequence[float] = (0.9, 1.1),
        blur_sigma_px: float = 1.0,
        noise_std: float = 0.08,
        lower: float = -1.0,
        upper: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, lower, upper, allow_missing_keys)
        self.scale_range = checked_range(scale_range, "scale_range", "suv_scale_range", above=0)
        self.gamma_range = checked_range(gamma_range, "gamma_range", above=0)
        self.max_blur_sigma_px = blur_sigma_px
        self.max_noise_std = noise_std

    def randomize(self, num_slices: int) -> None:
        super().randomize(None)
        self.scale = math.exp(self.R.uniform(*np.log(self.scale_range)))
        self.gamma = math.exp(self.R.uniform(*np.log(self.gamma_range)))
        self.blur_sigma_px = self.R.uniform(0, self.max_blur_sigma_px)
        self.noise_std = self.R.uniform(0, self.max_noise_std)
        self.noise_seed = int(self.R.randint(2**31))

    def apply(self, channel: torch.Tensor) -> torch.Tensor:
        extent = self.upper - self.lower
        uptake = ((channel - self.lower) / extent).clamp_(0, 1) ** self.gamma * self.scale
        uptake = blur_in_plane(uptake, self.blur_sigma_px)
        uptake = uptake + self._noise(uptake.shape) * uptake.sqrt() * (self.noise_std / extent)
        return uptake * extent + self.lower


class RandPetSliceAttenuationd(_RandChanneld):
    """PET: one slice is weakened, which imitates the weak signal of a moving tumour's end slices.

    Args:
        keys: of the images.
        prob: of a weak slice.
        factor_range: factor on its SUV, from-to; 0 removes its signal.
        lower, upper: the range.
        allow_missing_keys: leave keys out that are not there.

    Raises:
        ValueError: a range that is none.
    """

    channel = PET_CHANNEL

    def __init__(
        self,
        keys: KeysCollection = "image",
        prob: float = 0.3,
        factor_range: Sequence[float] = (0.3, 0.9),
        lower: float = -1.0,
        upper: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, lower, upper, allow_missing_keys)
        self.factor_range = checked_range(factor_range, "factor_range")

    def randomize(self, num_slices: int) -> None:
        super().randomize(None)
        self.slice_index = int(self.R.randint(num_slices))
        self.factor = self.R.uniform(*self.factor_range)

    def apply(self, channel: torch.Tensor) -> torch.Tensor:
        channel = channel.clone()
        channel[..., self.slice_index] = (channel[..., self.slice_index] - self.lower) * self.factor + self.lower
        return channel


def blur_in_plane(volume: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Gaussian blur of (H, W, S) along H and W, beyond the edge as at the edge."""
    if sigma_px < 0.2:
        return volume
    radius = max(1, round(3 * sigma_px))
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma_px) ** 2)
    weights = weights / weights.sum()
    planes = volume.permute(2, 0, 1)[:, None]
    planes = functional.pad(planes, (radius,) * 4, mode="replicate")
    planes = functional.conv2d(planes, weights.view(1, 1, -1, 1))
    planes = functional.conv2d(planes, weights.view(1, 1, 1, -1))
    return planes[:, 0].permute(1, 2, 0)
