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

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import file_sha256
from ..locks import locked
from .current_pointer import CurrentPointer
from .durable import write_json_durably
from .model_version import ACCEPTED, CANDIDATE, METRICS_FILE, MODEL_FILE, REFUSED, ModelVersion, version_name
from .version_comparison import compare_versions
from .version_files import VersionFiles

VERSIONS_DIR, LOCK_FILE = "versions", ".lock"

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
        self._files = VersionFiles(self.folder / VERSIONS_DIR, name)
        self._pointer = CurrentPointer(self.folder)
        self._warned: tuple | None = None

    @property
    def current_path(self) -> Path:
        """The pointer's file; its time of change tells whether the current version changed."""
        return self._pointer.path

    def seed(self, model_path: str | Path, note: str = "") -> ModelVersion:
        """Make a checkpoint (with its card) version 1 and current, where the registry is empty.

        Returns:
            The current version.
        """
        with locked(self.folder / LOCK_FILE):
            self._finish_acceptance()
            if self.is_empty:
                self._files.add(Path(model_path), {"origin": note or "seed", "data": []}, None)
            if not self.current_path.is_file():
                self._accept_first(note)
                self._pointer.point_to(self.version(self._last_accepted()), "seed", "")
        return self.current()

    def finish_acceptance(self) -> None:
        """Finish what a crash or a full disk ended in the midst of `accept` or `rollback`: decided, but not in use."""
        with locked(self.folder / LOCK_FILE):
            self._finish_acceptance()

    @property
    def is_empty(self) -> bool:
        """Whether there is no version yet."""
        return not self._files.numbers()

    def began_with(self, model_path: str | Path) -> bool:
        """Whether a checkpoint is what the first version holds."""
        return Path(model_path).is_file() and file_sha256(model_path) == self.version(1).sha256

    def versions(self) -> list[ModelVersion]:
        """All versions that can be read, oldest first; others are named in a warning."""
        return self._files.readable()

    def version(self, number: int) -> ModelVersion:
        """One version.

        Raises:
            ValueError: there is no such version, or its files cannot be read.
        """
        return self._files.read(number)

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
        for other in self._substitutes(number):
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
        return self._files.is_whole(number)

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
            number = self._files.add(model_path, content, None if report_dir is None else Path(report_dir))
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
            to = self._one_before() if to is None else to
            version = self.version(to)
            if version.status != ACCEPTED:
                raise ValueError(f"{version.label} was not accepted ({version.status}): it cannot become current")
            if not self.is_whole(to):
                raise ValueError(f"{version.label} is damaged: its weights do not have the SHA-256 of its manifest")
            self._pointer.point_to(version, "rollback", user)
        return version

    def ancestors(self, version: ModelVersion) -> list[ModelVersion]:
        """Accepted versions that one descends from, by the parents in their manifests, the nearest first.

        What was rolled back before a version was measured is none of its ancestors.
        """
        known = {entry.number: entry for entry in self.versions()}
        return [known[number] for number in self._files.ancestors(version.number) if number in known]

    def compare(self, first: int, second: int) -> dict[str, Any]:
        """Two versions side by side, see `compare_versions`."""
        return compare_versions(self.version(first), self.version(second))

    def history(self) -> list[dict[str, Any]]:
        """Every change of the current version: time, number, from, sha256, reason, user."""
        return self._pointer.history()

    def set_metrics(self, version: ModelVersion, metrics: Mapping[str, Any]) -> ModelVersion:
        """Keep results on the frozen set that were measured after the version was made, such as those of a seed."""
        write_json_durably(version.path / METRICS_FILE, metrics)
        return self.version(version.number)

    def _accepted(self) -> list[ModelVersion]:
        return [version for version in self.versions() if version.status == ACCEPTED]

    def _last_accepted(self) -> int:
        accepted = self._accepted()
        if not accepted:
            raise ValueError(f"{self.folder}: no version was ever accepted")
        return accepted[-1].number

    def _current_number(self) -> int | None:
        """Number of the version in use; where pointer and history are lost, of the last accepted one."""
        number = self._pointer.number()
        if number is None and self.current_path.is_file():
            return self._last_accepted()
        return number

    def _one_before(self) -> int:
        """The accepted version before the current one.

        The number below may be what was itself rolled back; the parent was in use and good enough.
        """
        current = self._current_number() or 0
        earlier = [entry.number for entry in self._accepted() if entry.number < current]
        if not earlier:
            raise ValueError(f"{self.name}: there is no accepted version before {version_name(current)}")
        return next((number for number in self._files.ancestors(current) if number in earlier), earlier[-1])

    def _substitutes(self, number: int) -> list[int]:
        """Other accepted versions: those it descends from first, then those that were current last."""
        order = self._files.ancestors(number)
        order += [entry["number"] for entry in reversed(self.history())]
        order += reversed(self._files.numbers())
        others = dict.fromkeys(other for other in order if other != number)
        return [other for other in others if self._files.was_accepted(other)]

    def _accept_first(self, note: str) -> None:
        """Decide on a first version that is alone: it was added just now, or a crash came before its decision."""
        versions = self.versions()
        if [version.status for version in versions] == [CANDIDATE]:
            self._files.decide(versions[0].number, ACCEPTED, {"reasons": [note or "first version of the registry"]})

    def _finish_acceptance(self) -> None:
        """`accept` decides, appends to the history and writes the pointer, in this order: do what is missing."""
        history = self.history()
        if not history:
            return
        self._pointer.repair()
        newest = self._accepted()[-1:]
        if newest and self._awaits_use(newest[0], history):
            logger.warning("%s was accepted, but not taken into use: it is now", newest[0].label)
            self._pointer.point_to(newest[0], "accepted", newest[0].decision.get("user", ""))

    def _awaits_use(self, version: ModelVersion, history: list[dict[str, Any]]) -> bool:
        """Whether a version was accepted and the current one is still that which it was measured against."""
        return (
            all(entry["number"] != version.number for entry in history)
            and version.manifest.get("parent") == self._current_number()
            and version.decision.get("time", "") >= history[-1]["time"]  # nobody rolled back since
            and self.is_whole(version.number)
        )

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
            self._files.decide(known.number, status, {**report, "user": user})
            if status == ACCEPTED:
                self._pointer.point_to(known, "accepted", user)
        return self.version(version.number)
