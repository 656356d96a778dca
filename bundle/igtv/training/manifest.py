"""The run manifest of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..configuration.running_config import resolved_item, running_settings
from ..inference.manifest import images_sha256, run_manifest, write_manifest
from ..networks.model_card import model_card_path, read_model_card
from .checkpoint_keeper import BEST_NAME
from .starting_weights import MANIFEST_NAME, StartingWeights, with_earlier_images


class TrainingManifest:
    """Writes `run_manifest.json`: versions, settings, hashes of the data, scan back end, device, seconds, results.

    Args:
        output_dir: folder of the manifest and of the trained weights.
        device: device of the training.
        training: cases that the network learned from.
        validation: cases that chose the best weights.
        start: weights that the training started from; the cases that they had learned from count as learned from.
    """

    def __init__(
        self,
        output_dir: str | Path,
        device: torch.device,
        training: Sequence[Mapping],
        validation: Sequence[Mapping],
        start: StartingWeights | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.device = device
        self.cases = {"training": training, "validation": validation}
        self.start = start

    def settings(self) -> dict:
        """What a resumed run must share: the settings at the top of the config, and the cases."""
        return {**running_settings(), **{f"{part} cases": names for part, names in self._case_names().items()}}

    def _case_names(self) -> dict[str, list[str]]:
        return {part: [case["case"] for case in cases] for part, cases in self.cases.items()}

    def _learned_images(self) -> dict[str, str]:
        own = {case["case"]: images_sha256(case) for case in self.cases["training"]}
        return own if self.start is None else with_earlier_images(own, self.start.images_sha256)

    def __call__(self, seconds: float, results: Mapping) -> None:
        # only asked for: an annotation server gives the data sets its own lists, and `cases` then must not be made
        prepared = resolved_item("cases") or {}
        model_path = self.output_dir / BEST_NAME
        manifest = run_manifest(
            "training",
            config=running_settings(),
            items=[case for cases in self.cases.values() for case in cases],
            model_path=model_path,
            model_card=read_model_card(model_path) if model_card_path(model_path).is_file() else None,
            device=self.device,
            seconds=seconds,
            results=dict(results),
            cases=self._case_names(),
            started_from=None if self.start is None else {"name": self.start.name, "sha256": self.start.sha256},
            images_sha256=self._learned_images(),
            left_out=[str(case) for case in prepared.get("left_out", [])],
        )
        write_manifest(self.output_dir / MANIFEST_NAME, manifest)
