"""The folders of a model's versions: weights, card and manifest that never change, and the decision on them."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import file_sha256, file_state
from ..networks.model_card import model_card_path, read_model_card
from ..training.starting_weights import MANIFEST_NAME as TRAINING_FILE
from .durable import flush_file, flush_folder, now, write_json_durably
from .model_version import (
    ACCEPTED,
    CANDIDATE,
    CARD_FILE,
    DECISION_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REPORT_DIR,
    ModelVersion,
    version_name,
)

STAGING_PREFIX = ".adding-"

logger = logging.getLogger(__name__)


class VersionFiles:
    """Versions of one model as folders v0001, v0002, ...; what was read is kept until its files change.

    The caller holds the registry's lock around `add` and `decide`.

    Args:
        folder: of the versions; made by the first `add`.
        name: of the model, such as "igtv".
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self._read: dict[int, tuple[tuple, ModelVersion]] = {}
        self._good: dict[int, tuple[tuple, bool]] = {}

    def numbers(self) -> list[int]:
        """Numbers of all versions, whether they can be read or not, in ascending order."""
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(name[1:]) for name in names if name[:1] == "v" and name[1:].isdigit())

    def readable(self) -> list[ModelVersion]:
        """All versions that can be read, oldest first; others are named in a warning."""
        found = []
        for number in self.numbers():
            try:
                found.append(self.read(number))
            except (OSError, ValueError, KeyError) as error:
                logger.warning("%s %s is left out, it cannot be read: %s", self.name, version_name(number), error)
        return found

    def read(self, number: int) -> ModelVersion:
        """One version.

        Raises:
            ValueError: there is no such version, or its files cannot be read.
        """
        folder = self._folder(number)
        if not folder.is_dir():
            known = ", ".join(str(entry) for entry in self.numbers()) or "none"
            raise ValueError(f"{self.name} has no version {number} (versions: {known})")
        mark = tuple(file_state(folder / file) for file in (CARD_FILE, MANIFEST_FILE, DECISION_FILE, METRICS_FILE))
        kept = self._read.get(number)
        if kept is None or kept[0] != mark:
            self._read[number] = kept = (mark, self._load(number))
        return kept[1]

    def is_whole(self, number: int) -> bool:
        """Whether weights, card and manifest of a version are there and the weights have their SHA-256."""
        folder = self._folder(number)
        mark = tuple(file_state(folder / file) for file in (MODEL_FILE, CARD_FILE, MANIFEST_FILE))
        kept = self._good.get(number)
        if kept is None or kept[0] != mark:
            self._good[number] = kept = (mark, self._check(number))
        return kept[1]

    def was_accepted(self, number: int) -> bool:
        """Whether a version was accepted, as far as its decision can be read; its other files may be damaged."""
        try:
            return _read_json(self._folder(number) / DECISION_FILE).get("status") == ACCEPTED
        except (OSError, ValueError):
            return False

    def ancestors(self, number: int) -> list[int]:
        """Accepted versions that one descends from, the nearest first, as far as manifests can be read."""
        chain, seen = [], {number}
        while True:
            try:
                number = _read_json(self._folder(number) / MANIFEST_FILE).get("parent")
            except (OSError, ValueError):
                return chain
            if not isinstance(number, int) or number in seen:
                return chain
            seen.add(number)
            if self.was_accepted(number):
                chain.append(number)

    def add(self, model_path: Path, manifest: Mapping[str, Any], report_dir: Path | None) -> int:
        """Copy a checkpoint, its card and reports in as a new version; it is there whole or not at all.

        Args:
            model_path: the checkpoint, its card beside it.
            manifest: what is to be known of it beside name, number, SHA-256 and time.
            report_dir: folder of reports to keep with it.

        Returns:
            Its number.

        Raises:
            FileNotFoundError: no checkpoint or no card there.
            ValueError: the card describes another file.
        """
        card = read_model_card(model_path)
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(f"{STAGING_PREFIX}*"):  # a process was killed while it added
            shutil.rmtree(leftover)
        number = max(self.numbers(), default=0) + 1
        staging = self.folder / f"{STAGING_PREFIX}{os.getpid()}"
        staging.mkdir()
        try:
            _copy_model(model_path, staging)
            if report_dir is None:
                (staging / REPORT_DIR).mkdir()
            else:
                shutil.copytree(report_dir, staging / REPORT_DIR)
            content = {"name": self.name, "number": number, "sha256": card["sha256"], "created": now(), **manifest}
            write_json_durably(staging / MANIFEST_FILE, content)
            read_model_card(staging / MODEL_FILE)  # the copy is whole
            _make_lasting(staging)
            os.rename(staging, self._folder(number))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        flush_folder(self.folder)
        return number

    def decide(self, number: int, status: str, report: Mapping[str, Any]) -> None:
        """Keep the decision on a version.

        Args:
            number: of the version.
            status: "accepted" or "refused".
            report: why.
        """
        write_json_durably(self._folder(number) / DECISION_FILE, {"status": status, "time": now(), **report})

    def _folder(self, number: int) -> Path:
        return self.folder / version_name(number)

    def _load(self, number: int) -> ModelVersion:
        folder = self._folder(number)
        manifest = _read_json(folder / MANIFEST_FILE)
        decision = _read_json(folder / DECISION_FILE) if (folder / DECISION_FILE).is_file() else {}
        later = folder / METRICS_FILE
        return ModelVersion(
            name=self.name,
            number=number,
            path=folder,
            card=_read_json(folder / CARD_FILE),
            sha256=manifest["sha256"],
            metrics=_read_json(later) if later.is_file() else manifest.get("metrics", {}),
            status=decision.get("status", CANDIDATE),
            manifest=manifest,
            decision=decision,
        )

    def _check(self, number: int) -> bool:
        try:
            return self._load(number).sha256 == file_sha256(self._folder(number) / MODEL_FILE)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s %s cannot be read: %s", self.name, version_name(number), error)
            return False


def _copy_model(model_path: Path, target: Path) -> None:
    shutil.copyfile(model_path, target / MODEL_FILE)
    shutil.copyfile(model_card_path(model_path), target / CARD_FILE)
    training = model_path.parent / TRAINING_FILE
    if training.is_file():  # says what the weights have learned from, to an evaluation and to later trainings
        shutil.copyfile(training, target / TRAINING_FILE)


def _make_lasting(folder: Path) -> None:
    for file in (MODEL_FILE, CARD_FILE, MANIFEST_FILE):
        (folder / file).chmod(0o444)
    for file in folder.rglob("*"):
        if file.is_file():  # of the report too: the gate compares later versions with its figures
            flush_file(file)


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
