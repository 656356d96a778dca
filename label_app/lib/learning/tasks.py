"""The training that MONAI Label and its viewers know: one trainer, for the IGTV model."""

import logging
import sys
from typing import Any

from igtv.learning.bound_process import die_with_parent
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.others.generic import device_list

from ..infer.answers import first
from .learning_loop import STARTS, LearningLoop
from .models import FINE_TUNED

DEFAULT_EPOCHS, DEFAULT_SAMPLES = 20, 100
BACKGROUND_MODULE = "monailabel.interfaces.utils.app"

logger = logging.getLogger(__name__)


class LearnFromLabels(TrainTask):
    """Fine-tunes the IGTV model on the final labels, and lets the gate decide.

    Args:
        learning: runs the trainings.
    """

    def __init__(self, learning: LearningLoop):
        super().__init__(
            "Fine-tunes from the final labels. The result replaces the current model only if it is not worse on a "
            "frozen validation set that no training sees."
        )
        self.learning = learning

    def config(self) -> dict[str, Any]:
        """Options that viewers show."""
        return {
            "max_epochs": DEFAULT_EPOCHS,
            "samples_per_epoch": DEFAULT_SAMPLES,
            "start_from": list(STARTS),
            "device": device_list(),
        }

    def stats(self) -> dict[str, Any]:
        """How far a training is, and how good the current model."""
        return self.learning.stats()

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Train in this process: how MONAI Label's own server asks for it, in a process that it has started.

        That server leaves such a process running when it stops; this one ends with it.
        """
        if _is_background_process():
            die_with_parent()
        options = {key: first(value) for key, value in request.items()}
        version = self.learning.run(options, lambda entries: logger.info("training: %s", entries))
        return {"version": version.number, "accepted": version.decision["accepted"], **version.decision["dice"]}


def create_trainers(app: Any) -> dict[str, TrainTask]:
    """Trainers of the app by name; `app.learning` runs them."""
    app.learning = LearningLoop(app)
    return {FINE_TUNED: LearnFromLabels(app.learning)}


def _is_background_process() -> bool:
    """Whether this process was started for one task; a server must not end with the shell that started it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == BACKGROUND_MODULE
