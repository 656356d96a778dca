"""One version of a model as the registry keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANDIDATE, ACCEPTED, REFUSED = "candidate", "accepted", "refused"
MODEL_FILE, CARD_FILE, MANIFEST_FILE = "model.pt", "model.json", "manifest.json"
DECISION_FILE, METRICS_FILE, REPORT_DIR = "decision.json", "metrics.json", "report"


@dataclass(frozen=True)
class ModelVersion:
    """A version; its weights, card and manifest never change.

    Attributes:
        name: of the registry's model, such as "igtv".
        number: 1, 2, ...
        path: folder of the version.
        card: model card of the weights.
        sha256: of the weights' file.
        metrics: results on the frozen validation set, such as {"dice": 0.71, "cases": {"P001": 0.8}}, `dice` the mean
            per patient, with the set's `frozen_sha256` and the settings of the `masks`; may be empty.
        status: "candidate", "accepted" or "refused".
        manifest: where it came from: parent version, cases it learned from (`data`) and those that only chose the best
            epoch (`checked_on`), settings, time.
        decision: why it was accepted or refused; empty for a candidate.
    """

    name: str
    number: int
    path: Path
    card: Mapping[str, Any]
    sha256: str
    metrics: Mapping[str, Any]
    status: str
    manifest: Mapping[str, Any]
    decision: Mapping[str, Any]

    @property
    def model_path(self) -> Path:
        """The checkpoint; its model card lies beside it."""
        return self.path / MODEL_FILE

    @property
    def report_dir(self) -> Path:
        """Evaluation on the frozen set and the gate's report."""
        return self.path / REPORT_DIR

    @property
    def label(self) -> str:
        """Such as "igtv v0003"."""
        return f"{self.name} {version_name(self.number)}"

    @property
    def data(self) -> list[Mapping[str, Any]]:
        """The cases it learned from in its own training: `case`, `patient`, `label_sha256`, `role`."""
        # older manifests have the cases that only chose the best epoch in both lists, in `checked_on` by name
        checked = {entry for entry in self.manifest.get("checked_on", []) if isinstance(entry, str)}
        return [entry for entry in self.manifest.get("data", []) if entry["case"] not in checked]


def version_name(number: int) -> str:
    """Folder of a version: v0001, v0002, ..."""
    return f"v{number:04d}"
