"""Tumours of another uptake: the same anatomy with a PET contrast that is weaker, gone or a little stronger.

Few training patients have a tumour with little uptake, so a network learns that tumour means hot and leaves the CT
alone. Taking away part of the tumour's contrast makes such patients from the others.
"""

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional

from .intensity import PET_CHANNEL, blur_in_plane
from .ranges import checked_range


class RandTumourUptaked(RandomizableTransform, MapTransform):
    """PET: the tumour's contrast to its surroundings is multiplied by a factor.

    With u the PET, m the label blurred in-plane (0..1) and b the mean of u in a ring around the tumour, the result is
    u + (factor - 1) * m * (u - b): outside the tumour nothing changes, inside a factor of 0 leaves the surroundings'
    uptake with the ripple that the blurred edge keeps.

    Args:
        image_key: of the image (2, H, W, S), channel 1 PET, scaled linearly to `lower`..`upper`.
        label_key: of the label (1, H, W, S), tumour where above 0.5.
        prob: of a change.
        factor_range: factor on the contrast, from-to, drawn evenly; below 0 the tumour becomes colder than its
            surroundings.
        ring_px: width of the ring in pixels.
        edge_sigma_px: standard deviation of the blur of the label in pixels.
        lower, upper: the range, values beyond it are cut.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        prob: float = 0.3,
        factor_range: Sequence[float] = (0.0, 1.2),
        ring_px: int = 4,
        edge_sigma_px: float = 1.0,
        lower: float = -1.0,
        upper: float = 1.0,
    ) -> None:
        MapTransform.__init__(self, [image_key, label_key])
        RandomizableTransform.__init__(self, prob)
        self.image_key, self.label_key = image_key, label_key
        self.factor_range = checked_range(factor_range, "factor_range", "uptake_factor_range")
        self.ring_px = ring_px
        self.edge_sigma_px = edge_sigma_px
        self.lower, self.upper = lower, upper

    def randomize(self) -> None:
        super().randomize(None)
        self.factor = self.R.uniform(*self.factor_range)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        self.randomize()
        tumour = torch.as_tensor(result[self.label_key][0] > 0.5)
        if self._do_transform and tumour.any():
            image = result[self.image_key].clone()
            image[PET_CHANNEL] = self._apply(image[PET_CHANNEL], tumour)
            result[self.image_key] = image
        return result

    def _apply(self, pet: torch.Tensor, tumour: torch.Tensor) -> torch.Tensor:
        mask = tumour.to(pet.dtype)
        planes = mask.permute(2, 0, 1)[:, None]
        wide = functional.max_pool2d(planes, 2 * self.ring_px + 1, stride=1, padding=self.ring_px)
        ring = (wide - planes)[:, 0].permute(1, 2, 0).bool()
        surroundings = pet[ring].mean() if ring.any() else self.lower
        soft = blur_in_plane(mask, self.edge_sigma_px)
        return (pet + (self.factor - 1) * soft * (pet - surroundings)).clamp_(self.lower, self.upper)
