"""The best PET threshold: of a fixed SUV or of a fraction of the maximum, whichever fits the labelled patients."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..evaluation.masks import NEIGHBOURS
from ..evaluation.rule_choice import mean_dice_by_rule
from ..inference.avidity import most_avid
from ..inference.lesions import number_lesions


@dataclass(frozen=True)
class Threshold:
    """A rule: `kind` "suv" (SUV above `value` g/ml) or "fraction" (SUV above `value` of the volume's maximum)."""

    kind: str
    value: float

    def mask(self, pet_suv: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """The most avid lesion above the threshold, which is also how a network's lesion is chosen.

        Args:
            pet_suv: PET (X, Y, Z) in SUVbw (g/ml).
            spacing_mm: voxel size (x, y, z).
        """
        numbers = number_lesions(_above(self, pet_suv, pet_suv))
        if not numbers.any():
            return numbers > 0
        affine = np.diag([*spacing_mm, 1.0])
        return numbers == most_avid(numbers, affine, pet_suv, affine)


@dataclass(frozen=True)
class SeededThreshold:
    """A rule that starts from a GTV model's mask, as a reader does who clicks on the tumour.

    `kind` "suv" (SUV above `value` g/ml) or "fraction" (SUV above `value` of the maximum inside the mask).
    """

    kind: str
    value: float

    def mask(self, pet_suv: np.ndarray, gtv: np.ndarray) -> np.ndarray:
        """Components above the threshold that touch the mask; nothing for an empty mask.

        Args:
            pet_suv: PET (X, Y, Z) in SUVbw (g/ml).
            gtv: mask of the GTV model, bool (X, Y, Z).
        """
        if not gtv.any():
            return np.zeros(gtv.shape, bool)
        above = _above(self, pet_suv, pet_suv[gtv])
        parts, _ = ndimage.label(above, NEIGHBOURS)
        touched = np.unique(parts[gtv & above])
        return np.isin(parts, touched) if touched.size else np.zeros(gtv.shape, bool)


def _above(rule: Threshold | SeededThreshold, pet_suv: np.ndarray, of_suv: np.ndarray) -> np.ndarray:
    """Where PET is above a rule's SUV, or above its fraction of the maximum of `of_suv`."""
    return pet_suv > (rule.value if rule.kind == "suv" else rule.value * of_suv.max())


def choose_seeded_rule(
    cases: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], suv: Sequence[float], fractions: Sequence[float]
) -> tuple[SeededThreshold, float]:
    """The seeded threshold with the highest mean Dice.

    Args:
        cases: (PET in SUVbw, boolean reference, mask of the GTV model) of the labelled patients, (X, Y, Z) each.
        suv: fixed thresholds to try.
        fractions: fractions of the maximum inside the mask to try.

    Returns:
        The rule and its mean Dice; of equals the first.

    Raises:
        ValueError: no case with a reference.
    """
    return _choose(SeededThreshold, ((label, (pet, gtv)) for pet, label, gtv in cases), suv, fractions)


def choose_rule(
    cases: Iterable[tuple[np.ndarray, np.ndarray, Sequence[float]]], suv: Sequence[float], fractions: Sequence[float]
) -> tuple[Threshold, float]:
    """The threshold with the highest mean Dice.

    Args:
        cases: (PET in SUVbw, boolean reference, voxel size in mm) of the labelled patients, volumes (X, Y, Z).
        suv: fixed thresholds to try.
        fractions: fractions of the maximum to try.

    Returns:
        The rule and its mean Dice; of equals the first.

    Raises:
        ValueError: no case with a reference.
    """
    return _choose(Threshold, ((label, (pet, spacing)) for pet, label, spacing in cases), suv, fractions)


def _choose(make: Callable, cases: Iterable[tuple], suv: Sequence[float], fractions: Sequence[float]) -> tuple:
    """The rule of kind `make` with the highest mean Dice, and that mean; cases: (reference, arguments of `mask`)."""
    tried = [make("suv", float(value)) for value in suv] + [make("fraction", float(value)) for value in fractions]
    means = mean_dice_by_rule([rule.mask for rule in tried], cases)
    best = int(means.argmax())
    return tried[best], float(means[best])
