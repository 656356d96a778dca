"""Writes the model card of a training's weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..networks.model_card import write_model_card


class ModelDescription:
    """Called with the path of freshly written weights and their metrics; puts the model card beside them.

    Args:
        task: "gtv" or "igtv".
        trained_on: the data in words.
        network: arguments of the network.
        spacing_mm, hu_window, suv_range, num_slices, patch_size: how the images were prepared.
        licence: licence of the weights, as the data's licence asks.
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
        licence: str = "",
    ) -> None:
        self.name = f"{task.upper()} model trained on {trained_on}"
        self.card = {
            "task": task,
            "trained_on": trained_on,
            "network": dict(network),
            "spacing_mm": list(spacing_mm),
            "hu_window": list(hu_window),
            "suv_range": list(suv_range),
            "num_slices": num_slices,
            "patch_size": list(patch_size),
            "licence": licence,
        }

    def __call__(self, path: str | Path, metrics: Mapping) -> None:
        write_model_card(path, name=self.name, metrics=metrics, **self.card)
