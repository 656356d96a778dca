"""Writes the model card of a training's weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..networks.model_card import write_model_card
from ..transforms.ranges import checked_window
from .starting_weights import StartingWeights


class ModelDescription:
    """Called with the path of freshly written weights and their metrics; puts the model card beside them.

    Args:
        task: "gtv" or "igtv".
        trained_on: the data in words.
        network: arguments of the network.
        spacing_mm, hu_window, suv_range, num_slices, patch_size: how the images were prepared.
        start: weights that the training started from: what they were trained on and their licence go on into the card.

    Raises:
        ValueError: a window that is none; every later use of the weights would scale its images by it.
    """

    def __init__(
        self,
        task: str,
        trained_on: str,
        network: Mapping,
        spacing_mm: Sequence[float],
        hu_window: Sequence[float],
        suv_range: Sequence[float],
        num_slices: int,
        patch_size: Sequence[int],
        start: StartingWeights | None = None,
    ) -> None:
        self.name = f"{task.upper()} model trained on {trained_on}"
        self.card = {
            "task": task,
            "trained_on": trained_on if start is None else f"{trained_on}; before that: {start.trained_on}",
            "network": dict(network),
            "spacing_mm": list(spacing_mm),
            "hu_window": list(checked_window(hu_window, "hu_window")),
            "suv_range": list(checked_window(suv_range, "suv_range")),
            "num_slices": num_slices,
            "patch_size": list(patch_size),
            "licence": "" if start is None else start.licence,
        }

    def __call__(self, path: str | Path, metrics: Mapping) -> None:
        write_model_card(path, name=self.name, metrics=metrics, **self.card)
