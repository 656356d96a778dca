"""Breathing put into training samples: a GTV case becomes an IGTV one, with another motion every time it is drawn.

Everything in the slab moves along the body axis as one: PET, cut at the highest SUV that the network sees, is the
average over the cycle, the label every place the tumour visits, the CT stays at the phase it was taken in. That is
coarser than `phantom.breathing_case`, which bends the tissue and makes a data set once, and costs a few milliseconds a
sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..phantom.motion import Breathing, phase_centres

PHASES = 10  # of the 4D-CT whose union the label is, as in `phantom`
INSTANTS = 40  # at which the PET is summed up: ten leave gaps of some slices where the tissue is fast
ORDERS = (1, 2, 3)  # n of Lujan's formula, see `Breathing`


@dataclass(frozen=True)
class SlabMotion:
    """Where the tissue is during the cycle, in slices towards superior from where the CT shows it.

    Attributes:
        time_share: share of the time spent at each whole displacement; a place between two slices counts for both.
        visited: whole displacements between the extremes of the phases; also those that it passes between two phases.
    """

    time_share: dict[int, float]
    visited: tuple[int, ...]

    @classmethod
    def of(cls, instants: np.ndarray, phases: np.ndarray) -> "SlabMotion":
        """Motion from displacements in slices, 0 where the CT shows the tissue.

        Args:
            instants: (N,) at instants that follow each other evenly over the cycle, for the PET.
            phases: (M,) at the phases of the 4D-CT, for the label.
        """
        share: dict[int, float] = {}
        for place in instants:
            below = int(np.floor(place))
            for whole, part in ((below, below + 1 - place), (below + 1, place - below)):
                if part > 0:
                    share[whole] = share.get(whole, 0.0) + float(part) / len(instants)
        lowest, highest = (int(np.rint(place)) for place in (phases.min(), phases.max()))
        return cls(share, tuple(range(lowest, highest + 1)))


class RandomBreathing:
    """Draws how a sample breathes: Lujan's cycle, with the CT taken at any of its phases.

    Args:
        probability: that a sample breathes.
        amplitude_mm: peak to peak along the body axis, from-to, drawn evenly.
        slice_mm: distance of the slices; 0 or less (each image's own) only where nothing breathes.

    Raises:
        ValueError: a probability outside 0 to 1, amplitudes that are negative or of which the first is larger, or
            breathing without a distance of the slices.
    """

    def __init__(
        self, probability: float = 0.0, amplitude_mm: Sequence[float] = (0.0, 25.0), slice_mm: float = 3.0
    ) -> None:
        low, high = amplitude_mm
        if not 0 <= probability <= 1 or not 0 <= low <= high:
            raise ValueError(
                f"breathing_probability={probability} must lie in 0 to 1, breathing_amplitude_mm={tuple(amplitude_mm)} "
                "name two amplitudes of 0 or more, the smaller first"
            )
        if probability > 0 and slice_mm <= 0:
            raise ValueError(
                f"samples cannot breathe with spacing_mm {slice_mm} along the body, which keeps each image's own: give "
                "a distance in mm, or breathing_probability 0"
            )
        self.probability, self.amplitude_mm, self.slice_mm = probability, (low, high), slice_mm

    def draw(self, random: np.random.RandomState) -> SlabMotion | None:
        """Motion of one sample, None where it rests; nothing is drawn from `random` while `probability` is 0."""
        if self.probability == 0 or random.rand() >= self.probability:
            return None
        amplitude = random.uniform(*self.amplitude_mm)
        order = ORDERS[random.randint(len(ORDERS))]
        inhaled = Breathing(order, period_s=4.0).inhaled
        phases, instants = (-amplitude * inhaled(phase_centres(count)) for count in (PHASES, INSTANTS))
        at_ct = phases[random.randint(PHASES)]
        return SlabMotion.of((instants - at_ct) / self.slice_mm, (phases - at_ct) / self.slice_mm)


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
