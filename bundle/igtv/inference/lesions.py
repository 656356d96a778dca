"""Separate lesions of a mask: numbered by size, chosen by the user, measured for the list to choose from."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

NEIGHBOURS = np.ones((3, 3, 3), bool)  # voxels that share a corner belong together
LISTED = 20  # lesions in a table; crumbs beyond them help nobody to choose


def number_lesions(mask: np.ndarray) -> np.ndarray:
    """Connected parts of a mask as a map of their numbers, 1 for the largest; of equals the first comes first.

    Args:
        mask: (X, Y, Z), non-zero inside.

    Returns:
        Integers of the same shape, 0 outside.
    """
    parts, count = ndimage.label(mask, NEIGHBOURS)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    numbers = np.zeros(count + 1, np.uint8 if count < 256 else np.int32)
    numbers[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, count + 1)
    return numbers[parts]


def chosen_lesions(lesions: str | int | Iterable[int], found: Collection[int]) -> list[int]:
    """The lesions a user means.

    Args:
        lesions: "largest", "all", a number or several ("1,3" or [1, 3]).
        found: numbers there are, 1 being the largest.

    Raises:
        ValueError: for other words, or a number that was not found.
    """
    if lesions == "all" or not found:
        return sorted(found)
    if lesions == "largest":
        return [min(found)]
    try:
        listed = lesions.split(",") if isinstance(lesions, str) else np.atleast_1d(lesions).tolist()
        numbers = sorted({int(number) for number in listed})
    except (TypeError, ValueError):
        numbers = []
    if not numbers:
        raise ValueError(f"lesions is {lesions!r}; it must be 'largest', 'all', or numbers such as \"[1,3]\".")
    missing = [number for number in numbers if number not in found]
    if missing:
        raise ValueError(
            f"lesion {', '.join(map(str, missing))} was asked for, but {len(found)} found: "
            f"{', '.join(map(str, sorted(found)[:LISTED]))}. Choose among these, by size."
        )
    return numbers


class ChooseLesionsd(MapTransform):
    """Keep the chosen lesions of a mask, and hand on the map of all.

    Args:
        keys: key of the mask (1, X, Y, Z), values 0 and 1.
        lesions: see `chosen_lesions`.
        output_key: key of the map of lesion numbers, of all lesions found, on the same grid.
    """

    def __init__(
        self, keys: KeysCollection, lesions: str | int | Iterable[int] = "largest", output_key: str = "lesions"
    ) -> None:
        super().__init__(keys)
        self.lesions = lesions
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            mask = result[key]
            numbers = number_lesions(mask[0].cpu().numpy() != 0)
            kept = np.isin(numbers, chosen_lesions(self.lesions, range(1, int(numbers.max(initial=0)) + 1)))
            result[key] = _like(kept[None], mask).to(mask.dtype)
            result[self.output_key] = _like(numbers[None], mask)
        return result


def _like(array: np.ndarray, other: torch.Tensor) -> torch.Tensor:
    tensor = torch.from_numpy(array).to(other.device)
    return MetaTensor(tensor, affine=other.affine, meta=other.meta) if isinstance(other, MetaTensor) else tensor


def lesion_table(numbers: np.ndarray, mask: np.ndarray, pet_suv: np.ndarray, affine: np.ndarray) -> list[dict]:
    """What a user chooses by, the largest lesion first, at most `LISTED`.

    Args:
        numbers: lesion numbers (X, Y, Z), 0 outside.
        mask: the chosen ones, non-zero inside.
        pet_suv: PET in SUVbw (g/ml) on the same grid.
        affine: voxel index -> patient RAS mm.

    Returns:
        Per lesion `number`, `chosen`, `volume_ml`, `suv_max` and `centre_mm` (patient RAS).
    """
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    table = []
    for number, box in enumerate(ndimage.find_objects(numbers, max_label=LISTED), start=1):
        if box is None:
            continue
        inside = numbers[box] == number
        centre = np.argwhere(inside).mean(axis=0) + [side.start for side in box]
        table.append(
            {
                "number": number,
                "chosen": bool((mask[box][inside] != 0).any()),
                "volume_ml": round(float(inside.sum() * voxel_ml), 3),
                "suv_max": round(float(pet_suv[box][inside].max()), 3),
                "centre_mm": [round(float(value), 1) for value in affine[:3, :3] @ centre + affine[:3, 3]],
            }
        )
    return table
