"""Automatic proposal of a tumour: mask, probability or uncertainty."""

import time
from typing import Any

import numpy as np
import torch
from igtv.inference.uncertainty import predictive_entropy
from monailabel.interfaces.tasks.infer_v2 import InferType

from .answers import Grid, first, on_grid
from .inputs import requested_case
from .model_task import ModelTask, mask_facts

MASK, PROBABILITY, UNCERTAINTY = "mask", "probability", "uncertainty"
PERCENT = 100.0


class AutomaticTask(ModelTask):
    """The model's own opinion on a case.

    The option `output` chooses what comes: the mask (0 and 1), the probability of tumour, or its uncertainty (entropy
    in bits). The two maps lie between 0 and 1; in a whole-number type, which is what both viewers ask for, they are
    given in per cent.

    Args:
        app, model, label: see `ModelTask`.
        what: first words of the description.
    """

    def __init__(self, app: Any, model: str, label: str, what: str):
        options = {"output": [MASK, PROBABILITY, UNCERTAINTY]}
        super().__init__(app, model, label, InferType.SEGMENTATION, what, options)

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a viewer.

        Returns:
            Path of the result on the requested series' grid, and parameters.

        Raises:
            PetMissing, NetworkBusy, ValueError: with a text for the viewer.
        """
        start = time.monotonic()
        output = first(request.get("output") or MASK)
        if output not in self._config["output"]:
            raise ValueError(f"output {output!r}; there are {', '.join(self._config['output'])}")
        case = requested_case(request, self.app.datastore())
        version = self.registry.current()
        proposal = self.app.proposals.get(version, case)
        grid = Grid.of(case.grid)
        facts = {"output": output}
        if output == MASK:
            volume = on_grid(proposal.mask, proposal.affine, grid, nearest=True)
            facts |= mask_facts(proposal.mask, proposal)
        else:
            volume = on_grid(_map(output, proposal.probability), proposal.affine, grid, nearest=False)
            whole_numbers = not str(request.get("result_dtype") or "uint8").startswith("float")
            facts["unit"] = "percent" if whole_numbers else ("1" if output == PROBABILITY else "bit")
            if whole_numbers:
                volume = np.round(volume * PERCENT)
        path, params = self.answer(request, case, version, volume, grid, facts, start)
        if output == MASK:
            self.remember(case, version, path)
        return path, params


def _map(output: str, probability: np.ndarray) -> np.ndarray:
    values = probability.astype(np.float32)
    return values if output == PROBABILITY else predictive_entropy(torch.from_numpy(values)).numpy()
