"""What automatic and click tasks have in common: the model in use, its name in words, the answer."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from igtv.inference.case_measures import measure
from igtv.inference.case_segmenter import CaseProposal
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from .answers import Grid, write_answer
from .inputs import InferCase

# the registry whose masks annotators begin with; edits are measured against them alone
PROPOSING = "igtv"

logger = logging.getLogger(__name__)


class ModelTask(InferTask):
    """A task on the current version of a registry's model.

    Args:
        app: with `models`, `proposals`, `folders`, `datastore()`.
        model: name of the registry, kept as `registry_name`.
        label: name of the segment in viewers.
        kind: how viewers offer it.
        what: first words of the description.
        config: options the viewers offer; the first value of a list is the default.
    """

    def __init__(self, app: Any, model: str, label: str, kind: InferType, what: str, config: Mapping[str, Any]):
        self.app = app
        self.registry_name = model
        self.registry = app.models[model]
        self.what = what
        super().__init__(kind, {label: 1}, 3, what, dict(config))

    @property
    def description(self) -> str:
        """What it does, and which model it does it with, trained on what."""
        version = self.registry.current()
        trained_on = version.card.get("trained_on") or "data its card does not name"
        return (
            f"{self.what}. Model: {version.card['name']}, version {version.number}, trained on {trained_on}. "
            "Research software: a qualified person must check every contour."
        )

    @description.setter
    def description(self, value: str) -> None:
        """MONAI Label's base class sets a fixed text; this one follows the model."""

    def info(self) -> dict[str, Any]:
        version = self.registry.current()
        return {**super().info(), "version": str(version.number), "model": model_facts(version)}

    def is_valid(self) -> bool:
        return True

    def get_path(self, validate: bool = True) -> str:
        return str(self.registry.current().path / "model.pt")

    def answer(
        self,
        request: Mapping[str, Any],
        case: InferCase,
        version: Any,
        volume: np.ndarray,
        grid: Grid,
        facts: Mapping[str, Any],
        start: float,
    ) -> tuple[str, dict[str, Any]]:
        """File and parameters for the viewer.

        Args:
            request: of the viewer.
            case: what was asked for.
            version: model version that answered.
            volume: (X, Y, Z) on `grid`.
            grid: the requested series' grid.
            facts: further parameters.
            start: `time.monotonic()` when the request came.
        """
        path = write_answer(volume, grid.affine, request, self.app.folders.temporary)
        return str(path), {
            "label_names": dict(self.labels),
            "model": model_facts(version),
            "grid": "pet" if case.on_pet else "ct",
            **facts,
            "latencies": {"total": round(time.monotonic() - start, 2)},
        }

    def is_remembered(self, case: InferCase, version: Any) -> bool:
        """Whether the proposal that is kept for a case and the grid of its answers is this version's."""
        _, note = self.app.datastore().proposal(case.name, "pet" if case.on_pet else "ct") or (None, {})
        return (note.get("model"), note.get("version")) == (version.name, str(version.number))

    def remember(self, case: InferCase, version: Any, path: str) -> None:
        """Keep the proposal beside the case, where it is one of ours, and what annotators correct."""
        if case.stored and self.registry_name == PROPOSING:
            try:
                self.app.datastore().record_proposal(case.image_id, path, version.name, version.number)
            except (OSError, ValueError) as error:  # neither a full disk nor a PACS keeps the annotator from the mask
                logger.warning("the proposal for %s could not be kept: %s", case.name, error)


def model_facts(version: Any) -> dict[str, Any]:
    """What names a model version in answers and records."""
    card = version.card
    return {
        "registry": version.name,
        "version": version.number,
        "name": card["name"],
        "task": card["task"],
        "trained_on": card.get("trained_on", ""),
        "sha256": version.sha256,
    }


def mask_facts(mask: np.ndarray, proposal: CaseProposal) -> dict[str, Any]:
    """Numbers about a mask on the CT's grid; says so when it is empty."""
    numbers = measure(mask, proposal.pet_suv, proposal.affine)
    if not mask.any():
        return {"measures": numbers, "message": "The model finds no tumour here."}
    return {"measures": numbers}
