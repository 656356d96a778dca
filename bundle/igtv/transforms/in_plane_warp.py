"""Random in-plane warp of a slab: flips, rotation, scaling, shear and elastic deformation in one resampling."""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional

from .ranges import checked_range

ELASTIC_NODES = 5


class RandInPlaneWarpd(RandomizableTransform, MapTransform):
    """The same random in-plane warp for all slices of all keys, and a random flip along the slices.

    MONAI's `RandAffined` warps in 3-D, one key at a time; here all channels and slices are planes of one 2-D
    resampling. `image` is interpolated linearly; keys in `label_keys` too, then cut at 0.5.

    Args:
        keys: (C, H, W, S) tensors of one size.
        label_keys: those of them that hold 0 and 1.
        prob: of rotation, scaling, shear (together); flips and elastic deformation have their own.
        rotation_deg: rotation within +- this angle.
        scale_range: magnification of the content, from-to; drawn evenly on the log scale.
        shear: of the second in-plane axis along the first, within +- this (tangent).
        flip_prob: of a flip along H, W and S each.
        elastic_prob: of an elastic deformation.
        elastic_px: standard deviation in pixels of its displacement at 5 x 5 nodes, smoothly interpolated between.
        output_size: in-plane size (H, W) of the result, its centre; default: that of the input.
        background: value of `image` outside the input; labels get 0.
        allow_missing_keys: leave keys out that are not there.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        label_keys: Sequence[Hashable] = ("label",),
        prob: float = 0.8,
        rotation_deg: float = 15.0,
        scale_range: Sequence[float] = (0.85, 1.2),
        shear: float = 0.1,
        flip_prob: float = 0.5,
        elastic_prob: float = 0.3,
        elastic_px: float = 3.0,
        output_size: Sequence[int] | None = None,
        background: float = -1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.label_keys = tuple(label_keys)
        self.rotation_deg = rotation_deg
        self.scale_range = checked_range(scale_range, "scale_range", "zoom_range", above=0)
        self.shear = shear
        self.flip_prob = flip_prob
        self.elastic_prob = elastic_prob
        self.elastic_px = elastic_px
        self.output_size = None if output_size is None else tuple(output_size)
        self.background = background
        self.matrix = np.eye(2)
        self.flip_slices = False
        self.displacement_px: np.ndarray | None = None

    def randomize(self, data: object = None) -> None:
        """Draw `matrix` (2, 2) from output to input pixel offsets, `flip_slices`, `displacement_px` (2, 5, 5)."""
        super().randomize(None)
        angle = math.radians(self.R.uniform(-self.rotation_deg, self.rotation_deg))
        scale = math.exp(self.R.uniform(*np.log(self.scale_range)))
        shear = self.R.uniform(-self.shear, self.shear)
        flips = self.R.rand(3) < self.flip_prob
        is_elastic = self.R.rand() < self.elastic_prob
        nodes = self.R.normal(0.0, 1.0, (2, ELASTIC_NODES, ELASTIC_NODES)) * self.elastic_px
        matrix = np.eye(2)
        if self._do_transform:
            rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) / scale
        self.matrix = np.diag(np.where(flips[:2], -1.0, 1.0)) @ matrix
        self.flip_slices = bool(flips[2])
        self.displacement_px = nodes if is_elastic else None

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        self.randomize()
        return self.apply(data)

    def apply(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Warp with the parameters drawn last."""
        result = dict(data)
        keys = list(self.key_iterator(result))
        # (C, H, W, S) -> (C * S, H, W); values count from the background, so that zero padding is background.
        planes = []
        for key in keys:
            offset = 0.0 if key in self.label_keys else self.background
            volume = result[key].permute(0, 3, 1, 2)
            volume = volume.flip(1) if self.flip_slices else volume
            planes.append(volume.flatten(0, 1) - offset)
        warped = self._warp(torch.cat(planes))
        for key, part in zip(keys, warped.split([len(plane) for plane in planes]), strict=True):
            volume = part.unflatten(0, (result[key].shape[0], result[key].shape[3])).permute(0, 2, 3, 1)
            result[key] = (volume > 0.5).float() if key in self.label_keys else volume + self.background
        return result

    def _warp(self, planes: torch.Tensor) -> torch.Tensor:
        """Resample (N, H, W) about its centre."""
        height, width = planes.shape[1:]
        size = self.output_size or (height, width)
        rows = torch.arange(size[0], dtype=torch.float32) - (size[0] - 1) / 2
        columns = torch.arange(size[1], dtype=torch.float32) - (size[1] - 1) / 2
        offsets = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        source = torch.einsum("ij,jhw->ihw", torch.as_tensor(self.matrix, dtype=torch.float32), offsets)
        if self.displacement_px is not None:
            nodes = torch.as_tensor(self.displacement_px, dtype=torch.float32)[None]
            source = source + functional.interpolate(nodes, size=size, mode="bicubic", align_corners=True)[0]
        # grid_sample wants (x, y) = (column, row) in units of half the size, pixel corners at -1 and 1.
        grid = torch.stack([source[1] * (2 / width), source[0] * (2 / height)], dim=-1)
        return functional.grid_sample(planes[None], grid[None], padding_mode="zeros", align_corners=False)[0]
