"""Breathing put into training samples: a GTV case becomes an IGTV one, with another motion every time it is drawn.

Everything in the slab moves along the body axis as one: PET is the average over the cycle, the label every place the
tumour visits, the CT stays at the phase it was taken in. That is coarser than `phantom.breathing_case`, which bends the
tissue and makes a data set once, and costs a few milliseconds a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..phantom.motion import Breathing, phase_centres

PHASES = 10
ORDERS = (1, 2, 3)  # n of Lujan's formula, see `Breathing`


@dataclass(frozen=True)
class SlabMotion:
    """Where the tissue is during the cycle, in slices towards superior from where the CT shows it.

    Attributes:
        time_share: share of the time spent at each whole displacement; a place between two slices counts for both.
        visited: whole displacements nearest to those of the phases.
    """

    time_share: dict[int, float]
    visited: tuple[int, ...]

    @classmethod
    def of(cls, displacement: np.ndarray) -> "SlabMotion":
        """Motion of phases that last equally long.

        Args:
            displacement: (phases,) in slices, at the CT's phase 0.
        """
        share: dict[int, float] = {}
        for place in displacement:
            below = int(np.floor(place))
            for whole, part in ((below, below + 1 - place), (below + 1, place - below)):
                if part > 0:
                    share[whole] = share.get(whole, 0.0) + float(part) / len(displacement)
        return cls(share, tuple(sorted({int(place) for place in np.rint(displacement)})))


class RandomBreathing:
    """Draws how a sample breathes: Lujan's cycle, with the CT taken at any of its phases.

    Args:
        probability: that a sample breathes.
        amplitude_mm: peak to peak along the body axis, from-to, drawn evenly.
        slice_mm: distance of the slices.

    Raises:
        ValueError: a probability outside 0 to 1, or amplitudes that are negative or of which the first is larger.
    """

    def __init__(
        self, probability: float = 0.0, amplitude_mm: Sequence[float] = (0.0, 25.0), slice_mm: float = 3.0
    ) -> None:
        low, high = amplitude_mm
        if not 0 <= probability <= 1 or not 0 <= low <= high or slice_mm <= 0:
            raise ValueError(
                f"breathing_probability={probability} must lie in 0 to 1, breathing_amplitude_mm={tuple(amplitude_mm)} "
                f"name two amplitudes of 0 or more, the smaller first, and the slices ({slice_mm} mm) have a thickness"
            )
        self.probability, self.amplitude_mm, self.slice_mm = probability, (low, high), slice_mm

    def draw(self, random: np.random.RandomState) -> SlabMotion | None:
        """Motion of one sample, None where it rests; nothing is drawn from `random` while `probability` is 0."""
        if self.probability == 0 or random.rand() >= self.probability:
            return None
        amplitude = random.uniform(*self.amplitude_mm)
        order = ORDERS[random.randint(len(ORDERS))]
        place = -amplitude * Breathing(order, period_s=4.0).inhaled(phase_centres(PHASES))
        return SlabMotion.of((place - place[random.randint(PHASES)]) / self.slice_mm)


def moved_label(label: np.ndarray, motion: SlabMotion) -> np.ndarray:
    """Union of a label over all places it visits.

    Args:
        label: bool (H, W, S), slices towards superior.
        motion: of the sample; what leaves the volume is lost.
    """
    result = np.zeros_like(label)
    for shift in motion.visited:
        if abs(shift) < label.shape[2]:
            source = slice(max(0, -shift), label.shape[2] - max(0, shift))
            target = slice(max(0, shift), label.shape[2] - max(0, -shift))
            result[..., target] |= label[..., source]
    return result
