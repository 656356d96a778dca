"""Pictures of what the network finds in validation cases, made anew at every validation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from ..inference.overlay import save_overlay


class ValidationPictures:
    """Draws the first validation cases with reference and prediction to `<output_dir>/pictures/<case>.png`.

    Args:
        output_dir: folder of the run.
        count: number of cases to draw; 0 for none.
        hu_window, suv_range: what -1..1 of the channels CT and PET stand for.
        enabled: rank 0 draws.
    """

    def __init__(
        self,
        output_dir: str | Path,
        count: int,
        hu_window: Sequence[float],
        suv_range: Sequence[float],
        enabled: bool = True,
    ) -> None:
        self.folder = Path(output_dir) / "pictures"
        self.count = count if enabled else 0
        self.hu_window = hu_window
        self.suv_range = suv_range

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if (engine.state.iteration - 1) % engine.state.epoch_length >= self.count:
            return
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            image = batch["image"]
            save_overlay(
                self.folder / f"{batch['case']}.png",
                self._unscaled(image[0], self.hu_window),
                self._unscaled(image[1], self.suv_range),
                {"reference": _array(output["label"][0]), "model": _array(output["pred"][0])},
                image.pixdim.tolist() if isinstance(image, MetaTensor) else (1.0, 1.0, 1.0),
                title=f"{batch['case']} (validation)",
            )

    @staticmethod
    def _unscaled(channel, limits: Sequence[float]) -> np.ndarray:
        """Back from -1..1 to HU or SUV."""
        return (_array(channel) + 1) / 2 * (limits[1] - limits[0]) + limits[0]


def _array(volume) -> np.ndarray:
    return np.asarray(volume.detach().cpu())
