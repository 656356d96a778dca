"""Scores of cases, one file per model version: computed once, read at every choice."""

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from igtv.files import write_json
from igtv.learning.selection import CaseScore, score_case

logger = logging.getLogger(__name__)


class ScoreBook:
    """What each version of a model says about the cases it was asked about.

    Args:
        folder: `<folder>/<model>-v0001-<sha256>.json` per version.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._read: dict[Path, dict[str, CaseScore]] = {}
        self._lock = threading.Lock()

    def record(self, case: str, version: Any, proposal: Any) -> None:
        """Score a case from what the model proposes for it; the listener of `Proposals` for stored cases.

        Args:
            case: id of the case.
            version: `ModelVersion`.
            proposal: `CaseProposal`.
        """
        voxel_ml = abs(np.linalg.det(proposal.affine[:3, :3])) / 1000
        score = score_case(proposal.probability, voxel_ml, proposal.ct_hu, proposal.pet_suv)
        path = self._path(version)
        with self._lock:
            known = {**self._content(path), case: score}
            try:
                write_json(path, {name: asdict(entry) for name, entry in known.items()})
            except OSError as error:  # a full disk costs the score, not the request it came from
                logger.warning("the scores of %s could not be kept: %s", version.name, error)
            self._read[path] = known

    def scores(self, version: Any) -> Mapping[str, CaseScore]:
        """Scores by case of one version."""
        with self._lock:
            return dict(self._content(self._path(version)))

    def missing(self, version: Any, cases: Iterable[str]) -> list[str]:
        """Cases that this version has not scored."""
        known = self.scores(version)
        return [case for case in cases if case not in known]

    def _path(self, version: Any) -> Path:
        return self.folder / f"{version.name}-v{version.number:04d}-{version.sha256[:12]}.json"

    def _content(self, path: Path) -> dict[str, CaseScore]:
        """A damaged file is begun anew: it can be computed again."""
        if path not in self._read:
            try:
                content = json.loads(path.read_text()) if path.is_file() else {}
                found = {
                    case: CaseScore(entry["uncertainty"], entry["foreground_ml"], tuple(entry["features"]))
                    for case, entry in content.items()
                }
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("%s is damaged (%s): its scores are computed again", path.name, error)
                found = {}
            self._read[path] = found
        return self._read[path]
