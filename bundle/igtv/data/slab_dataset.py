"""Training samples: slabs of consecutive axial slices, cut at random from volumes kept in memory.

Everything random about a sample (its case, the kind of slab, its place, its augmentation) is a function of
`(seed, index)` alone, where `index` counts the samples of the whole training and not of one epoch. So the samples are
the same with any number of workers, and a training that was interrupted continues with the samples it would have had.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from monai.transforms import Randomizable
from monai.utils import convert_to_tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from .slab_breathing import RandomBreathing, SlabMotion, moved_label
from .slab_sampling import KINDS, TumourMap, choose_place

logger = logging.getLogger(__name__)

MAX_SEED = 2**32 - 1


class SlabDataset(Dataset):
    """Slabs of `num_slices` consecutive slices from preprocessed cases.

    The volumes are preprocessed once and kept in memory: images as float16 (fine to 0.5 HU and 0.01 g/ml at the usual
    scalings, at half the memory), labels as bool, 5 bytes per voxel in all. Where a volume is smaller than the crop
    in-plane, `background` surrounds it, at a random place; where it has fewer than `num_slices` slices, the last slice
    is repeated with its label.

    Args:
        data: cases as `datalist.split_cases` gives them, every one with `label`. A case with `no_tumour` gives slabs
            without tumour only, whatever kind is drawn: negatives of a person's own.
        transform: deterministic preprocessing: case -> `image` (2, H, W, S) float, channel 0 CT, channel 1 PET, and
            `label` (1, H, W, S), tumour where above 0.5.
        patch_size: (H, W) of the samples in pixels.
        num_slices: S of the samples.
        end_probability, inside_probability, free_probability: how often the kinds of `slab_sampling.choose_place` are
            drawn; they must add up to 1.
        end_radius: slices on both sides of the tumour's last slice that an `end` slab holds if it is long enough.
        augmentation: random transform of `{"image", "label", "case"}` (tensors as above), a MONAI `Randomizable` such
            as a `Compose`; None for none.
        breathing: puts a motion into samples; None for none.
        margin: pixels that are cut in addition on every in-plane side and handed to the augmentation, so that a
            rotation brings in real tissue; the sample is cropped back to `patch_size` afterwards.
        seed: of all choices.
        background: value of `image` outside the volume.
        num_workers: threads of the preprocessing; 0 for none.
        progress: show a progress bar while preprocessing.

    Raises:
        ValueError: no case, probabilities that do not add up to 1, sizes below 1, or an image and label that do not
            have the shapes above.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, str]],
        transform: Callable[[Mapping], Mapping],
        patch_size: Sequence[int] = (128, 128),
        num_slices: int = 8,
        end_probability: float = 0.5,
        inside_probability: float = 0.3,
        free_probability: float = 0.2,
        end_radius: int = 2,
        augmentation: Randomizable | None = None,
        breathing: RandomBreathing | None = None,
        margin: int = 0,
        seed: int = 0,
        background: float = -1.0,
        num_workers: int = 0,
        progress: bool = True,
    ) -> None:
        self.probabilities = np.array([end_probability, inside_probability, free_probability], dtype=float)
        if (self.probabilities < 0).any() or abs(self.probabilities.sum() - 1) > 1e-6:
            raise ValueError(
                f"end_probability={end_probability}, inside_probability={inside_probability} and "
                f"free_probability={free_probability} must be 0 or more and add up to 1"
            )
        if len(patch_size) != 2 or min(patch_size) < 1 or num_slices < 1 or end_radius < 0 or margin < 0:
            raise ValueError(
                f"patch_size={tuple(patch_size)} must be two sizes of 1 or more, num_slices={num_slices} 1 or more, "
                f"end_radius={end_radius} and margin={margin} 0 or more"
            )
        if not data:
            raise ValueError("no case to sample slabs from")
        self.data = list(data)
        self.transform = transform
        self.patch_size = (int(patch_size[0]), int(patch_size[1]))
        self.num_slices = int(num_slices)
        self.end_radius = int(end_radius)
        self.augmentation = augmentation
        self.breathing = breathing or RandomBreathing(probability=0.0)
        self.margin = int(margin)
        self.seed = int(seed)
        self.background = float(background)
        self._volumes = self._preprocess(num_workers, progress)

    def __len__(self) -> int:
        """Number of cases; an `EpochSampler` decides how many samples an epoch has."""
        return len(self.data)

    def __getitem__(self, index: int) -> dict:
        """Sample number `index` of the training.

        Returns:
            `image` (2, H, W, S) float32 and `label` (1, H, W, S) float32 of 0 and 1, plain tensors; `case`, its name;
            `kind`, the kind of slab.
        """
        random = np.random.RandomState([self.seed, index])
        image, label, tumour_map = self._volumes[self._case_number(index)]
        kind = KINDS[random.choice(len(KINDS), p=self.probabilities)]
        size = (self.patch_size[0], self.patch_size[1], self.num_slices)
        motion = self.breathing.draw(random)
        if motion is not None:
            label = torch.from_numpy(moved_label(label[0].numpy(), motion))[None]
            tumour_map = tumour_map.with_label(label[0].numpy())
        place = choose_place(label[0].numpy(), tumour_map, size, kind, self.end_radius, random)
        start = (place.start[0] - self.margin, place.start[1] - self.margin, place.start[2])
        size = (size[0] + 2 * self.margin, size[1] + 2 * self.margin, size[2])
        sample = {
            "image": self._cut_image(image, start, size, motion),
            "label": cut_slab(label, start, size, 0.0),
            "case": self.data[self._case_number(index)]["case"],
            "kind": place.kind,
        }
        if self.augmentation is not None:
            self.augmentation.set_random_state(seed=random.randint(MAX_SEED, dtype=np.uint32))
            sample = dict(self.augmentation(sample))
        for key in ("image", "label"):
            sample[key] = _centre_crop(sample[key], self.patch_size).contiguous()
        return sample

    def _cut_image(self, image: torch.Tensor, start, size, motion: SlabMotion | None) -> torch.Tensor:
        """CT as it is; PET averaged over the time that the tissue spends where."""
        slab = cut_slab(image, start, size, self.background)
        if motion is not None:
            shifted = [
                share * cut_slab(image[1:], (*start[:2], start[2] - shift), size, self.background)[0]
                for shift, share in motion.time_share.items()
            ]
            slab[1] = torch.stack(shifted).sum(0)
        return slab

    def _case_number(self, index: int) -> int:
        """Every case once in each round of as many samples as there are cases, in an order of the round's own."""
        round_number, position = divmod(index, len(self.data))
        order = np.random.RandomState([self.seed, round_number, 1]).permutation(len(self.data))
        return int(order[position])

    def _preprocess(self, num_workers: int, progress: bool) -> list[tuple[torch.Tensor, torch.Tensor, TumourMap]]:
        with ThreadPoolExecutor(max(1, num_workers)) as pool:
            results = pool.map(self._preprocess_case, self.data)
            bar = tqdm(results, total=len(self.data), desc="preprocessing", unit="case", disable=not progress)
            return list(bar)

    def _preprocess_case(self, case: Mapping[str, str]) -> tuple[torch.Tensor, torch.Tensor, TumourMap]:
        """Image (2, H, W, S) float16, label (1, H, W, S) bool, and where the tumour is."""
        data = self.transform(case)
        image = _slices_first(convert_to_tensor(data["image"], dtype=torch.float16))
        label = _slices_first(convert_to_tensor(data["label"]) > 0.5)
        if image.ndim != 4 or image.shape[0] != 2 or label.shape != (1, *image.shape[1:]):
            raise ValueError(
                f"{case['case']}: preprocessing gave image {tuple(image.shape)} and label {tuple(label.shape)}: "
                "(2, H, W, S) and (1, H, W, S) are expected"
            )
        if not label.any() and not case.get("no_tumour"):
            logger.warning("%s: no tumour in the preprocessed label; it gives tumour-free slabs only", case["case"])
        return image, label, TumourMap.of(image[1].numpy(), label[0].numpy())


def cut_slab(
    volume: torch.Tensor, start: tuple[int, int, int], size: tuple[int, int, int], background: float
) -> torch.Tensor:
    """Cut (C, *size) float32 out of a (C, H, W, S) volume; in memory slice follows slice.

    In-plane the part outside the volume gets `background`; along the slices the first and last slice are repeated.
    """
    slab = torch.full((volume.shape[0], size[2], *size[:2]), background).permute(0, 2, 3, 1)
    slices = np.clip(np.arange(start[2], start[2] + size[2]), 0, volume.shape[3] - 1)
    first = [max(0, start[axis]) for axis in range(2)]
    last = [min(volume.shape[axis + 1], start[axis] + size[axis]) for axis in range(2)]
    if last[0] > first[0] and last[1] > first[1]:
        part = volume[:, first[0] : last[0], first[1] : last[1], slices[0] : slices[-1] + 1]
        if part.shape[3] < size[2]:
            part = part[..., slices - slices[0]]
        slab[:, first[0] - start[0] : last[0] - start[0], first[1] - start[1] : last[1] - start[1]] = part
    return slab


def _slices_first(volume: torch.Tensor) -> torch.Tensor:
    """The same (C, H, W, S) tensor, in memory slice after slice: what is cut and warped together lies together."""
    return volume.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)


def _centre_crop(volume: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Centre of a (C, H, W, S) tensor."""
    rows, columns = ((volume.shape[axis + 1] - size[axis]) // 2 for axis in range(2))
    return volume[:, rows : rows + size[0], columns : columns + size[1]]
