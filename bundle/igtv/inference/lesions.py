"""Separate lesions of a mask: chosen by the user, measured for the list to choose from."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from ..evaluation.masks import number_lesions
from .avidity import most_avid

RULES = ("most_avid", "largest", "all")
LISTED = 20  # lesions in a table; crumbs beyond them help nobody to choose


def chosen_lesions(
    lesions: str | int | Iterable[int], found: Collection[int], avid: Callable[[], int] | None = None
) -> list[int]:
    """The lesions a user means.

    Args:
        lesions: "most_avid" (see `avidity`), "largest", "all", a number or several ("1,3" or [1, 3]).
        found: numbers there are, 1 being the largest.
        avid: gives the most avid one; asked where there are several. None: there is no PET.

    Raises:
        ValueError: for other words, a number that was not found, or "most_avid" without PET.
    """
    if lesions == "all" or not found:
        return sorted(found)
    if lesions == "most_avid" and avid is None:
        raise ValueError("lesions is 'most_avid', but there is no PET here: choose 'largest', 'all', or numbers.")
    if lesions == "most_avid":
        return [avid()] if len(found) > 1 else list(found)
    if lesions == "largest":
        return [min(found)]
    numbers = lesion_numbers(lesions)
    missing = [number for number in numbers if number not in found]
    if missing:
        raise ValueError(
            f"lesion {', '.join(map(str, missing))} was asked for, but {len(found)} found: "
            f"{', '.join(map(str, sorted(found)[:LISTED]))}. Choose among these, by size."
        )
    return numbers


def lesion_numbers(lesions: str | int | Iterable[int]) -> list[int]:
    """Numbers that a user means, in ascending order; none for a rule.

    Args:
        lesions: see `chosen_lesions`.

    Raises:
        ValueError: neither a rule nor whole numbers from 1.
    """
    if isinstance(lesions, str) and lesions in RULES:
        return []
    try:
        listed = lesions.split(",") if isinstance(lesions, str) else np.atleast_1d(lesions).tolist()
        numbers = sorted({int(number) for number in listed})
    except (TypeError, ValueError):
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ValueError(
            f"lesions is {lesions!r}; it must be 'most_avid', 'largest', 'all', or numbers such as \"[1,3]\"."
        )
    return numbers


def lesion_rule(lesions: str) -> str:
    """The rule, where numbers have no place: those of a training's validation cases are not known beforehand.

    Raises:
        ValueError: it is not one of `RULES`.
    """
    if lesions not in RULES:
        raise ValueError(f"lesions is {lesions!r}; for a training it must be one of {', '.join(RULES)}")
    return lesions


class ChooseLesionsd(MapTransform):
    """Keep the chosen lesions of a mask, and hand on the map of all.

    Args:
        keys: key of the mask (1, X, Y, Z), values 0 and 1; for "most_avid" with its geometry (MetaTensor).
        suv_range: SUVbw (g/ml) of the PET at -1 and 1.
        lesions: see `chosen_lesions`.
        image_key: key of the network's input (2, X', Y', Z') with its geometry, CT and PET, both from -1 to 1; it is
            read for "most_avid" alone.
        output_key: key of the map of lesion numbers, of all lesions found, on the same grid.

    Raises:
        ValueError: `lesions` is neither a rule nor numbers.
    """

    def __init__(
        self,
        keys: KeysCollection,
        suv_range: Sequence[float],
        lesions: str | int | Iterable[int] = "most_avid",
        image_key: str = "image",
        output_key: str = "lesions",
    ) -> None:
        super().__init__(keys)
        lesion_numbers(lesions)  # a slip of the pen is said before a network has worked for hours
        self.lesions = lesions
        self.image_key = image_key
        self.suv_range = suv_range
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            mask = result[key]
            numbers = number_lesions(mask[0].cpu().numpy() != 0)
            found = range(1, int(numbers.max(initial=0)) + 1)
            chosen = chosen_lesions(self.lesions, found, partial(self._most_avid, numbers, mask, result))
            result[key] = _like(np.isin(numbers, chosen)[None], mask).to(mask.dtype)
            result[self.output_key] = _like(numbers[None], mask)
        return result

    def _most_avid(self, numbers: np.ndarray, mask: torch.Tensor, data: Mapping[Hashable, Any]) -> int:
        image = data[self.image_key]
        low, high = self.suv_range
        pet_suv = low + (image[1].cpu().numpy().astype(np.float32) + 1) / 2 * (high - low)
        return most_avid(numbers, mask.affine.cpu().numpy(), pet_suv, image.affine.cpu().numpy())


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
