"""The run manifest of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..configuration.running_config import running_settings
from ..inference.manifest import run_manifest, write_manifest


class TrainingManifest:
    """Writes `run_manifest.json`: versions, settings, data hash, scan back end, device, seconds, results.

    Args:
        output_dir: folder of the manifest and of the trained weights.
        device: device of the training.
        cases: cases of the parts, and those left out, as `data.prepare.prepare_cases` gives them.
    """

    def __init__(self, output_dir: str | Path, device: torch.device, cases: Mapping[str, Sequence]) -> None:
        self.output_dir = Path(output_dir)
        self.device = device
        self.cases = cases

    def __call__(self, seconds: float, results: Mapping) -> None:
        manifest = run_manifest(
            "training",
            config=running_settings(),
            items=[case for part in ("training", "validation") for case in self.cases[part]],
            model_path=self.output_dir / "model.pt",
            device=self.device,
            seconds=seconds,
            results=dict(results),
            cases={part: [case["case"] for case in self.cases[part]] for part in ("training", "validation")},
            left_out=[str(case) for case in self.cases["left_out"]],
        )
        write_manifest(self.output_dir / "run_manifest.json", manifest)
