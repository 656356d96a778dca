"""Where to cut a slab: the random choice of its kind, its slices and its in-plane position.

Half or more of the slabs should straddle an end of the tumour, since weak PET signal in the end slices is what the
slice interaction module is for; others lie inside it, and tumour-free ones keep false positives down. The in-plane
crop is put off-centre at random, so that the tumour appears anywhere in it.
"""

from dataclasses import dataclass

import numpy as np

KINDS = ("end", "inside", "free")
HOT_VOXELS = 512
HOT_PERCENTILE = 99.0
FREE_TRIES = 10
CENTRE_JITTER = 0.4


@dataclass(frozen=True)
class SlabPlace:
    """First voxel of a slab on the axes (H, W, S); in-plane it may lie outside the volume. `kind` is what it got."""

    start: tuple[int, int, int]
    kind: str


@dataclass(frozen=True)
class TumourMap:
    """What the sampling needs to know of one case, computed once.

    Attributes:
        tumour_slices: indices of the slices that hold tumour.
        end_slices: last tumour slices towards inferior and superior, of every run of tumour slices.
        hot_voxels: (K, 3) voxels outside the tumour with the case's highest uptake, where false positives arise; of
            many an even choice, `HOT_VOXELS` at most.
    """

    tumour_slices: np.ndarray
    end_slices: np.ndarray
    hot_voxels: np.ndarray

    @classmethod
    def of(cls, pet: np.ndarray, label: np.ndarray) -> "TumourMap":
        """Build the map of one case.

        Args:
            pet: (H, W, S) uptake, in any scaling.
            label: (H, W, S), tumour where above 0.
        """
        hot = np.argwhere((pet > np.percentile(pet, HOT_PERCENTILE)) & (label == 0))
        step = max(1, -(-len(hot) // HOT_VOXELS))  # rounded up, so that every part of the volume is reached
        return cls(*_tumour_and_end_slices(label), hot[::step])

    def with_label(self, label: np.ndarray) -> "TumourMap":
        """The same case with another label (H, W, S) that covers the old one; hot voxels stay where they were."""
        hot = self.hot_voxels[label[tuple(self.hot_voxels.T)] == 0]
        return TumourMap(*_tumour_and_end_slices(label), hot)


def _tumour_and_end_slices(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices of a label (H, W, S) that hold tumour, and the last ones of every run of them."""
    tumour_slices = np.flatnonzero(label.any(axis=(0, 1)))
    is_first = np.diff(tumour_slices, prepend=-2) > 1
    is_last = np.diff(tumour_slices, append=label.shape[2] + 1) > 1
    return tumour_slices, np.concatenate([tumour_slices[is_first], tumour_slices[is_last]])


def choose_place(
    label: np.ndarray,
    tumour_map: TumourMap,
    size: tuple[int, int, int],
    kind: str,
    end_radius: int,
    random: np.random.RandomState,
) -> SlabPlace:
    """Choose a slab of the wanted kind.

    * `end`: the last tumour slice of an end and, as far as the slab is long enough, the `end_radius` slices on both
      sides of it lie in the slab; in-plane around a tumour voxel of that slice.
    * `inside`: a tumour slice lies anywhere in the slab; in-plane around a tumour voxel of that slice.
    * `free`: no tumour in the slab, which may lie beside it; about every second one is put around a hot voxel. A
      case that has no such place within reach gives an `inside` slab.
    A case without tumour always gives `free`.

    Args:
        label: (H, W, S), tumour where above 0.
        tumour_map: of the same case.
        size: (H, W, S) of the slab in voxels.
        kind: the wanted kind.
        end_radius: in slices.
        random: source of all choices.
    """
    if len(tumour_map.tumour_slices) == 0:
        return SlabPlace(_free_start(label, tumour_map, size, random), "free")
    if kind == "free":
        for _ in range(FREE_TRIES):
            start = _free_start(label, tumour_map, size, random)
            if not _crop(label, start, size).any():
                return SlabPlace(start, "free")
        kind = "inside"
    length = size[2]
    if kind == "end":
        anchor = int(random.choice(tumour_map.end_slices))
        reach = min(end_radius, (length - 1) // 2)
    else:
        anchor = int(random.choice(tumour_map.tumour_slices))
        reach = 0
    first = anchor - random.randint(reach, length - reach)
    tumour_voxels = np.argwhere(label[:, :, anchor])
    voxel = tumour_voxels[random.randint(len(tumour_voxels))]
    in_plane = [_start_around(voxel[axis], size[axis], label.shape[axis], CENTRE_JITTER, random) for axis in range(2)]
    return SlabPlace((*in_plane, _clip_start(first, length, label.shape[2])), kind)


def _free_start(
    label: np.ndarray, tumour_map: TumourMap, size: tuple[int, int, int], random: np.random.RandomState
) -> tuple[int, int, int]:
    """A start anywhere or, every second time, around a hot voxel; the caller checks whether tumour lies in the slab."""
    if random.rand() < 0.5 and len(tumour_map.hot_voxels):
        voxel = tumour_map.hot_voxels[random.randint(len(tumour_map.hot_voxels))]
    else:
        voxel = [random.randint(extent) for extent in label.shape]
    in_plane = [_start_around(voxel[axis], size[axis], label.shape[axis], CENTRE_JITTER, random) for axis in range(2)]
    first = voxel[2] - random.randint(size[2])
    return (*in_plane, _clip_start(first, size[2], label.shape[2]))


def _start_around(voxel: int, size: int, extent: int, jitter: float, random: np.random.RandomState) -> int:
    """Start of a crop that holds `voxel`, its centre at most `jitter * size` away from it."""
    centre = voxel + random.uniform(-jitter, jitter) * size
    if extent < size:
        return random.randint(extent - size, 1)
    return _clip_start(int(round(centre - size / 2)), size, extent)


def _clip_start(start: int, size: int, extent: int) -> int:
    """Keep a crop within the volume; a volume shorter than the crop starts with it."""
    return int(np.clip(start, 0, max(0, extent - size)))


def _crop(volume: np.ndarray, start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    """Part of the crop that lies inside the volume."""
    return volume[
        tuple(slice(max(first, 0), max(first + length, 0)) for first, length in zip(start, size, strict=True))
    ]
