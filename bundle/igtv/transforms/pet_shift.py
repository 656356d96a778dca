"""Random shift of the PET against the CT, as breathing between the two scans leaves it."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

PET_CHANNEL = 1


class RandPetShiftd(RandomizableTransform, MapTransform):
    """Shifts channel 1 (PET) of `image` (2, H, W, S) in a random direction, linearly interpolated.

    CT and label stay: the contour is drawn on the CT. What comes in from outside repeats the edge.

    Args:
        keys: of the images.
        spacing_mm: voxel size (H, W, S) of the images; with a size that differs from case to case, a typical one.
        prob: of a shift.
        max_shift_mm: length of the shift, drawn evenly from 0 to this.
        allow_missing_keys: leave keys out that are not there.

    Raises:
        ValueError: a spacing of 0 or less.
    """

    def __init__(
        self,
        spacing_mm: Sequence[float],
        keys: KeysCollection = "image",
        prob: float = 0.3,
        max_shift_mm: float = 4.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.spacing_mm = np.asarray(spacing_mm, dtype=float)
        if self.spacing_mm.shape != (3,) or not (self.spacing_mm > 0).all():
            raise ValueError(f"spacing_mm={list(spacing_mm)} must be three sizes above 0")
        self.max_shift_mm = max_shift_mm
        self.shift_px = np.zeros(3)

    def randomize(self, data: object = None) -> None:
        super().randomize(None)
        direction = self.R.normal(size=3)
        length_mm = self.R.uniform(0, self.max_shift_mm)
        self.shift_px = direction / np.linalg.norm(direction) * length_mm / self.spacing_mm

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        self.randomize()
        if self._do_transform:
            for key in self.key_iterator(result):
                image = result[key].clone()
                image[PET_CHANNEL] = shift(image[PET_CHANNEL], self.shift_px)
                result[key] = image
        return result


def shift(volume: torch.Tensor, shift_px: Sequence[float]) -> torch.Tensor:
    """Move the content of (H, W, S) by `shift_px` towards higher indices, one axis after the other."""
    for axis, amount in enumerate(shift_px):
        whole = int(np.floor(amount))
        part = float(amount - whole)
        extent = volume.shape[axis]
        target = torch.arange(extent)
        near = volume.index_select(axis, (target - whole).clamp(0, extent - 1))
        far = volume.index_select(axis, (target - whole - 1).clamp(0, extent - 1))
        volume = near * (1 - part) + far * part
    return volume
