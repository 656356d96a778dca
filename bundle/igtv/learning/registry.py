"""Every version of a model, which of them is current, and how it came to that.

```
<models_dir>/<name>/
  versions/v0001/{model.pt, model.json, manifest.json, report/...}   never changed once they are there; beside them
                                                                     the training's run_manifest.json, where it is known
  versions/v0001/decision.json                                       accepted or refused, by which rule
  current.json                                                       the version in use, replaced in one step
  history.jsonl                                                      every change of the current version
```
Training never writes here: a finished candidate is copied in by `add`, and becomes current by `accept` only.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import file_sha256, file_state
from ..locks import locked
from ..networks.model_card import model_card_path, read_model_card
from ..training.starting_weights import MANIFEST_NAME as TRAINING_FILE
from .durable import append_line, flush_file, flush_folder, now, read_lines, write_json_durably
from .model_version import (
    ACCEPTED,
    CANDIDATE,
    CARD_FILE,
    DECISION_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REFUSED,
    REPORT_DIR,
    ModelVersion,
    version_name,
)

CURRENT_FILE, HISTORY_FILE, VERSIONS_DIR, LOCK_FILE = "current.json", "history.jsonl", "versions", ".lock"
STAGING_PREFIX = ".adding-"

logger = logging.getLogger(__name__)


class AnotherCurrent(ValueError):
    """Another version became current than the one a candidate was measured against."""


class ModelRegistry:
    """Versions of one model in a folder; several processes may use it at once.

    Args:
        models_dir: folder of all registries.
        name: of the model, such as "gtv" or "igtv"; a folder in `models_dir`.
    """

    def __init__(self, models_dir: str | Path, name: str = "igtv") -> None:
        self.name = name
        self.folder = Path(models_dir) / name
        self._read: dict[int, tuple[tuple, ModelVersion]] = {}
        self._good: dict[int, tuple[tuple, bool]] = {}
        self._warned: tuple | None = None

    @property
    def current_path(self) -> Path:
        """The pointer's file; its time of change tells whether the current version changed."""
        return self.folder / CURRENT_FILE

    def seed(self, model_path: str | Path, note: str = "") -> ModelVersion:
        """Make a checkpoint (with its card) version 1 and current, where the registry is empty.

        Returns:
            The current version.
        """
        with locked(self.folder / LOCK_FILE):
            self._finish_acceptance()
            if not self._numbers():
                self._add(Path(model_path), {"origin": note or "seed", "data": []}, None)
            if not self.current_path.is_file():
                self._accept_first(note)
                self._point_to(self._last_accepted(), "seed", "")
        return self.current()

    def finish_acceptance(self) -> None:
        """Finish what a crash or a full disk ended in the midst of `accept` or `rollback`: decided, but not in use."""
        with locked(self.folder / LOCK_FILE):
            self._finish_acceptance()

    @property
    def is_empty(self) -> bool:
        """Whether there is no version yet."""
        return not self._numbers()

    def began_with(self, model_path: str | Path) -> bool:
        """Whether a checkpoint is what the first version holds."""
        return Path(model_path).is_file() and file_sha256(model_path) == self.version(1).sha256

    def versions(self) -> list[ModelVersion]:
        """All versions that can be read, oldest first; others are named in a warning."""
        found = []
        for number in self._numbers():
            try:
                found.append(self.version(number))
            except (OSError, ValueError, KeyError) as error:
                logger.warning("%s %s is left out, it cannot be read: %s", self.name, version_name(number), error)
        return found

    def version(self, number: int) -> ModelVersion:
        """One version.

        Raises:
            ValueError: there is no such version, or its files cannot be read.
        """
        folder = self.folder / VERSIONS_DIR / version_name(number)
        if not folder.is_dir():
            known = ", ".join(str(entry) for entry in self._numbers()) or "none"
            raise ValueError(f"{self.name} has no version {number} (versions: {known})")
        mark = tuple(file_state(folder / file) for file in (CARD_FILE, MANIFEST_FILE, DECISION_FILE, METRICS_FILE))
        kept = self._read.get(number)
        if kept is None or kept[0] != mark:
            self._read[number] = kept = (mark, self._load(number, folder))
        return kept[1]

    def current(self) -> ModelVersion:
        """The version in use; cheap enough for every request.

        Where the current one is damaged, the last good one that was current before it, with a warning.

        Raises:
            FileNotFoundError: the registry is empty.
            ValueError: no accepted version is whole.
        """
        number = self._current_number()
        if number is None:
            raise FileNotFoundError(f"{self.folder} has no current model: seed it with a checkpoint first")
        if self.is_whole(number):
            return self.version(number)
        for other in self._earlier(number):
            if self.is_whole(other):
                if self._warned != (number, other):
                    self._warned = (number, other)
                    logger.warning(
                        "%s %s is damaged: going on with %s", self.name, version_name(number), version_name(other)
                    )
                return self.version(other)
        raise ValueError(f"{self.folder}: {version_name(number)} is damaged and no other accepted version is whole")

    def is_whole(self, number: int) -> bool:
        """Whether weights, card and manifest of a version are there and the weights have their SHA-256."""
        folder = self.folder / VERSIONS_DIR / version_name(number)
        mark = tuple(file_state(folder / file) for file in (MODEL_FILE, CARD_FILE, MANIFEST_FILE))
        kept = self._good.get(number)
        if kept is None or kept[0] != mark:
            self._good[number] = kept = (mark, self._check(number, folder))
        return kept[1]

    def add(
        self,
        staging_dir: str | Path,
        manifest: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        report_dir: str | Path | None = None,
    ) -> ModelVersion:
        """Copy a candidate in; the current version stays.

        Args:
            staging_dir: folder with `model.pt` and `model.json`, or the path of a checkpoint.
            manifest: what is to be known of its training, such as `parent`, `data`, `settings`.
            metrics: results on the frozen set.
            report_dir: folder of reports to keep with it.

        Raises:
            FileNotFoundError: no checkpoint or no card there.
            ValueError: the card describes another file.
        """
        staging = Path(staging_dir)
        model_path = staging / MODEL_FILE if staging.is_dir() else staging
        with locked(self.folder / LOCK_FILE):
            content = {**(manifest or {}), "metrics": dict(metrics or {})}
            number = self._add(model_path, content, None if report_dir is None else Path(report_dir))
        return self.version(number)

    def accept(
        self, version: ModelVersion, report: Mapping[str, Any], user: str = "", expected_current: int | None = None
    ) -> ModelVersion:
        """Make a candidate current, and keep why.

        Args:
            version: the candidate.
            report: why.
            user: who asked for it.
            expected_current: number of the version it was measured against; None: any may be current.

        Raises:
            AnotherCurrent: another version is current than the expected one; the candidate stays undecided.
            ValueError: the version is no candidate, or is damaged.
        """
        return self._close(version, ACCEPTED, report, user, expected_current)

    def refuse(self, version: ModelVersion, report: Mapping[str, Any], user: str = "") -> ModelVersion:
        """Keep a candidate with the reasons against it; the current version stays."""
        return self._close(version, REFUSED, report, user)

    def refuse_another_current(self, expected: int) -> None:
        """Raise AnotherCurrent where the current version is not the one of that number, as after a rollback."""
        now = self.current()
        if now.number != expected:
            raise AnotherCurrent(
                f"the current model became {now.label} while the candidate was trained against {self.name} "
                f"{version_name(expected)}: start again"
            )

    def rollback(self, to: int | None = None, user: str = "") -> ModelVersion:
        """Make an accepted version current again.

        Args:
            to: its number; None: the version the current one was measured against, else the accepted one before it.
            user: who asked for it.

        Raises:
            ValueError: no such version, it was never accepted, or it is damaged.
        """
        with locked(self.folder / LOCK_FILE):
            if to is None:
                current = self._current_number() or 0
                earlier = [entry.number for entry in self._accepted() if entry.number < current]
                if not earlier:
                    raise ValueError(f"{self.name}: there is no accepted version before {version_name(current)}")
                # the number below may be what was itself rolled back; the parent was in use and good enough
                to = next((number for number in self._ancestors(current) if number in earlier), earlier[-1])
            version = self.version(to)
            if version.status != ACCEPTED:
                raise ValueError(f"{version.label} was not accepted ({version.status}): it cannot become current")
            if not self.is_whole(to):
                raise ValueError(f"{version.label} is damaged: its weights do not have the SHA-256 of its manifest")
            self._point_to(to, "rollback", user)
        return version

    def ancestors(self, version: ModelVersion) -> list[ModelVersion]:
        """Accepted versions that one descends from, by the parents in their manifests, the nearest first.

        What was rolled back before a version was measured is none of its ancestors.
        """
        known = {entry.number: entry for entry in self.versions()}
        return [known[number] for number in self._ancestors(version.number) if number in known]

    def compare(self, first: int, second: int) -> dict[str, Any]:
        """Two versions side by side: status, data, settings and, case by case, Dice on the frozen set."""
        a, b = self.version(first), self.version(second)
        cases_a, cases_b = (version.metrics.get("cases", {}) for version in (a, b))
        learned_a, learned_b = ({entry["case"] for entry in version.data} for version in (a, b))
        settings_a, settings_b = (version.manifest.get("settings", {}) for version in (a, b))
        return {
            "versions": [a.label, b.label],
            "names": [version.card.get("name") for version in (a, b)],
            "status": [a.status, b.status],
            "sha256": [a.sha256, b.sha256],
            "dice": [a.metrics.get("dice"), b.metrics.get("dice")],
            "same_frozen_set": a.metrics.get("frozen_sha256") == b.metrics.get("frozen_sha256"),
            "same_masks": a.metrics.get("masks") == b.metrics.get("masks"),
            "cases": [
                {"case": case, "dice": [cases_a.get(case), cases_b.get(case)]}
                for case in sorted(set(cases_a) | set(cases_b))
            ],
            "data": {
                "both": len(learned_a & learned_b),
                "only_first": sorted(learned_a - learned_b),
                "only_second": sorted(learned_b - learned_a),
            },
            "settings": {
                key: [settings_a.get(key), settings_b.get(key)]
                for key in sorted(set(settings_a) | set(settings_b))
                if settings_a and settings_b and settings_a.get(key) != settings_b.get(key)
            },
        }

    def history(self) -> list[dict[str, Any]]:
        """Every change of the current version: time, number, from, reason, user."""
        return read_lines(self.folder / HISTORY_FILE)

    def set_metrics(self, version: ModelVersion, metrics: Mapping[str, Any]) -> ModelVersion:
        """Keep results on the frozen set that were measured after the version was made, such as those of a seed."""
        write_json_durably(version.path / METRICS_FILE, metrics)
        return self.version(version.number)

    def _numbers(self) -> list[int]:
        folder = self.folder / VERSIONS_DIR
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name[1:]) for name in names if name[:1] == "v" and name[1:].isdigit())

    def _accepted(self) -> list[ModelVersion]:
        return [version for version in self.versions() if version.status == ACCEPTED]

    def _accept_first(self, note: str) -> None:
        """Decide on a first version that is alone: it was added just now, or a crash came before its decision."""
        versions = self.versions()
        if [version.status for version in versions] == [CANDIDATE]:
            self._decide(versions[0].number, ACCEPTED, {"reasons": [note or "first version of the registry"]})

    def _finish_acceptance(self) -> None:
        """`accept` decides, appends to the history and writes the pointer, in this order: do what is missing."""
        history = self.history()
        if not history:
            return
        pointer = self._read_pointer()
        if pointer is None or (pointer != history[-1] and pointer in history):  # else the history lost its end
            write_json_durably(self.current_path, history[-1])
        newest = self._accepted()[-1:]
        if newest and self._awaits_use(newest[0], history):
            logger.warning("%s was accepted, but not taken into use: it is now", newest[0].label)
            self._point_to(newest[0].number, "accepted", newest[0].decision.get("user", ""))

    def _awaits_use(self, version: ModelVersion, history: list[dict[str, Any]]) -> bool:
        """Whether a version was accepted and the current one is still that which it was measured against."""
        return (
            all(entry["number"] != version.number for entry in history)
            and version.manifest.get("parent") == self._current_number()
            and version.decision.get("time", "") >= history[-1]["time"]  # nobody rolled back since
            and self.is_whole(version.number)
        )

    def _read_pointer(self) -> dict[str, Any] | None:
        """Content of the pointer's file; None where it is missing or damaged."""
        try:
            return _read_json(self.current_path)
        except (OSError, ValueError):
            return None

    def _last_accepted(self) -> int:
        accepted = self._accepted()
        if not accepted:
            raise ValueError(f"{self.folder}: no version was ever accepted")
        return accepted[-1].number

    def _current_number(self) -> int | None:
        """Number in the pointer's file; a damaged file gives the last one of the history."""
        try:
            return int(json.loads(self.current_path.read_text(encoding="utf-8"))["number"])
        except FileNotFoundError:
            return self.history()[-1]["number"] if self.history() else None
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is damaged: taking the last version of %s", self.current_path, HISTORY_FILE)
            return self.history()[-1]["number"] if self.history() else self._last_accepted()

    def _earlier(self, number: int) -> list[int]:
        """Other accepted versions: those it descends from first, then those that were current last."""
        order = self._ancestors(number)
        order += [entry["number"] for entry in reversed(self.history())]
        order += reversed(self._numbers())
        chosen = []
        for other in order:
            if other != number and other not in chosen and self._was_accepted(other):
                chosen.append(other)
        return chosen

    def _ancestors(self, number: int) -> list[int]:
        """Accepted versions that one descends from, the nearest first, as far as manifests can be read."""
        chain, seen = [], {number}
        while True:
            try:
                number = _read_json(self.folder / VERSIONS_DIR / version_name(number) / MANIFEST_FILE).get("parent")
            except (OSError, ValueError):
                return chain
            if not isinstance(number, int) or number in seen:
                return chain
            seen.add(number)
            if self._was_accepted(number):
                chain.append(number)

    def _was_accepted(self, number: int) -> bool:
        path = self.folder / VERSIONS_DIR / version_name(number) / DECISION_FILE
        try:
            return json.loads(path.read_text(encoding="utf-8"))["status"] == ACCEPTED
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _load(self, number: int, folder: Path) -> ModelVersion:
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

    def _check(self, number: int, folder: Path) -> bool:
        try:
            return self._load(number, folder).sha256 == file_sha256(folder / MODEL_FILE)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s %s cannot be read: %s", self.name, version_name(number), error)
            return False

    def _add(self, model_path: Path, manifest: Mapping[str, Any], report_dir: Path | None) -> int:
        card = read_model_card(model_path)
        folder = self.folder / VERSIONS_DIR
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{STAGING_PREFIX}*"):  # a process was killed while it added
            shutil.rmtree(leftover)
        number = max(self._numbers(), default=0) + 1
        staging = folder / f"{STAGING_PREFIX}{os.getpid()}"
        staging.mkdir()
        try:
            shutil.copyfile(model_path, staging / MODEL_FILE)
            shutil.copyfile(model_card_path(model_path), staging / CARD_FILE)
            training = model_path.parent / TRAINING_FILE
            if training.is_file():  # says what the weights have learned from, to an evaluation and to later trainings
                shutil.copyfile(training, staging / TRAINING_FILE)
            if report_dir is None:
                (staging / REPORT_DIR).mkdir()
            else:
                shutil.copytree(report_dir, staging / REPORT_DIR)
            content = {"name": self.name, "number": number, "sha256": card["sha256"], "created": now(), **manifest}
            write_json_durably(staging / MANIFEST_FILE, content)
            read_model_card(staging / MODEL_FILE)  # the copy is whole
            for file in (MODEL_FILE, CARD_FILE, MANIFEST_FILE):
                (staging / file).chmod(0o444)
            for file in staging.rglob("*"):
                if file.is_file():  # of the report too: the gate compares later versions with its figures
                    flush_file(file)
            os.rename(staging, folder / version_name(number))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        flush_folder(folder)
        return number

    def _close(
        self,
        version: ModelVersion,
        status: str,
        report: Mapping[str, Any],
        user: str,
        expected_current: int | None = None,
    ) -> ModelVersion:
        with locked(self.folder / LOCK_FILE):
            if expected_current is not None:
                self.refuse_another_current(expected_current)
            known = self.version(version.number)
            if known.status != CANDIDATE:
                raise ValueError(f"{known.label} was {known.status} before: a decision is made once")
            if status == ACCEPTED and not self.is_whole(known.number):
                raise ValueError(f"{known.label} is damaged and cannot be accepted")
            self._decide(known.number, status, {**report, "user": user})
            if status == ACCEPTED:
                self._point_to(known.number, "accepted", user)
        return self.version(version.number)

    def _decide(self, number: int, status: str, report: Mapping[str, Any]) -> None:
        path = self.folder / VERSIONS_DIR / version_name(number) / DECISION_FILE
        write_json_durably(path, {"status": status, "time": now(), **report})

    def _point_to(self, number: int, reason: str, user: str) -> None:
        entry = {
            "time": now(),
            "number": number,
            "from": self._current_number(),
            "sha256": self.version(number).sha256,
            "reason": reason,
            "user": user,
        }
        append_line(self.folder / HISTORY_FILE, entry)
        write_json_durably(self.current_path, entry)


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
