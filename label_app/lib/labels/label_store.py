"""Labels with all their versions. What counts is the audit trail and the files of the history it names.

A version is accepted once its file and its line in the trail are on the disk, in this order; `final/` holds copies of
the current versions for people and other programs, and is made again where it differs.
"""

import logging
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from filelock import FileLock
from igtv.files import file_sha256, remove_leftovers
from igtv.learning.durable import durable_file

from lib.studies.data_folder import is_only_looked_at

from .audit_trail import AuditTrail
from .mask_file import write_mask

logger = logging.getLogger(__name__)

SUFFIX = ".nii.gz"
LOCK_SECONDS = 60
_HISTORY_NAME = re.compile(r"(\d{4,})_(\d{8}T\d{6})Z_(.+)\.nii\.gz")


@dataclass(frozen=True)
class LabelVersion:
    """One accepted version of a case's label.

    Attributes:
        case: id of the case.
        number: from 1.
        path: file of the history; never changed.
        sha256: of the file.
        time: when it was accepted, UTC.
        user: who submitted it.
        no_tumour: the annotator says that there is no tumour; the mask is empty.
        event: the whole line of the audit trail.
    """

    case: str
    number: int
    path: Path
    sha256: str
    time: str
    user: str
    no_tumour: bool
    event: Mapping[str, Any]


class LabelStore:
    """Final labels of all cases in one folder.

    Args:
        folder: gets `final/`, `history/<case>/`, `audit.jsonl`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.final = folder / "final"
        self.history = folder / "history"
        for path in (self.final, self.history):
            path.mkdir(parents=True, exist_ok=True)
        self.audit = AuditTrail(folder / "audit.jsonl")
        self._lock_path = str(folder / ".lock")
        self._view_lock = threading.Lock()
        self._versions: dict[str, dict[int, LabelVersion]] = {}
        self._withdrawn: dict[str, int] = {}
        self._damaged: dict[str, int] = {}
        self._events: list[dict[str, Any]] = []
        self._read_to = 0

    def add(self, case: str, mask: sitk.Image, event: Mapping[str, Any]) -> LabelVersion:
        """Accept a label as the next version of its case.

        Args:
            case: id of the case.
            mask: uint8, on the grid of the CT.
            event: for the audit trail: `user`, `no_tumour`, and whatever else is known.

        Raises:
            OSError: it could not be stored; nothing has changed then.
        """
        with self._locked():
            self._refresh()
            number = max([0, *self._versions.get(case, {}), *self._numbers_on_disk(case)]) + 1
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            path = self.history / case / f"{number:04d}_{stamp}_{_plain(event.get('user'))}{SUFFIX}"
            try:
                with durable_file(path) as temporary:
                    write_mask(mask, temporary)
                self._accept(case, number, path, {**event, "outcome": "accepted"})
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            self._refresh()
            version = self._versions[case][number]
            self._publish(version)
            return version

    def withdraw(self, case: str, event: Mapping[str, Any]) -> None:
        """Take the label of a case back: the case is unlabelled again, its history stays."""
        with self._locked():
            self._refresh()
            current = self._current(case)
            if current is None:
                return
            self.audit.append(
                {"event": "label", "outcome": "withdrawn", "case": case, "version": current.number} | event
            )
            self._refresh()
            (self.final / f"{case}{SUFFIX}").unlink(missing_ok=True)

    def note(self, event: Mapping[str, Any]) -> None:
        """Write another event (a refusal, a transfer to the PACS) to the trail."""
        with self._locked():
            self.audit.append(event)

    def current(self, case: str) -> LabelVersion | None:
        """The label of a case, or None for a case without."""
        with self._view_lock:
            self._refresh()
            return self._current(case)

    def versions(self, case: str) -> list[LabelVersion]:
        """All versions of a case, oldest first."""
        with self._view_lock:
            self._refresh()
            return [version for _, version in sorted(self._versions.get(case, {}).items())]

    def all_current(self) -> dict[str, LabelVersion]:
        """{case: its label} of all cases that have one."""
        with self._view_lock:
            self._refresh()
            found = {case: self._current(case) for case in sorted(self._versions)}
        return {case: version for case, version in found.items() if version is not None}

    def events(self) -> list[dict[str, Any]]:
        """All events of the audit trail, oldest first."""
        with self._view_lock:
            self._refresh()
            return list(self._events)

    def final_path(self, case: str) -> Path | None:
        """File of the current label."""
        version = self.current(case)
        if version is None:
            return None
        copy = self.final / f"{case}{SUFFIX}"
        return copy if copy.is_file() else version.path

    def recover(self) -> list[str]:
        """Put right what a crash or a careless hand left behind; to be called at start.

        Nothing is done in a folder that another process serves, which may be writing, or that is only looked at.

        Returns:
            What was done, in words.
        """
        if is_only_looked_at(self.folder.parent):
            return []
        with self._locked():
            done = []
            leftovers = remove_leftovers(self.folder)
            if leftovers:
                done.append(f"{leftovers} unfinished temporary files removed")
            self._refresh()
            done += self._adopt_whole_files()
            self._refresh()
            for case in sorted(self._versions):
                done += self._repair(case)
            broken = self.audit.broken_links()
            if broken:
                done.append(f"audit.jsonl: lines {broken} do not follow the line before them; it was changed by hand")
        for line in done:
            logger.warning("labels: %s", line)
        return done

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # a lock of its own per call: threads wait for each other as processes do
        with FileLock(self._lock_path, timeout=LOCK_SECONDS), self._view_lock:
            yield

    def _accept(self, case: str, number: int, path: Path, event: Mapping[str, Any]) -> None:
        facts = {"case": case, "version": number, "file": path.name, "sha256": file_sha256(path)}
        self.audit.append({"event": "label", **facts, **event})

    def _current(self, case: str) -> LabelVersion | None:
        versions = self._versions.get(case)
        if not versions:
            return None
        newest = versions[max(versions)]
        lost = max(self._withdrawn.get(case, 0), self._damaged.get(case, 0))
        return newest if newest.number > lost else None

    def _refresh(self) -> None:
        """Read what was appended since, by this process or another."""
        size = self.audit.path.stat().st_size if self.audit.path.exists() else 0
        if size < self._read_to:
            self._versions, self._withdrawn, self._damaged, self._events, self._read_to = {}, {}, {}, [], 0
        if size == self._read_to:
            return
        events, self._read_to = self.audit.read(self._read_to)
        for event in events:
            self._events.append(event)
            if event.get("event") == "label":
                self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        case, number, outcome = (event.get(key) for key in ("case", "version", "outcome"))
        if not isinstance(case, str) or not isinstance(number, int):
            return
        if outcome == "recovered" and self._damaged.get(case) == number:
            del self._damaged[case]
        if outcome == "withdrawn":
            self._withdrawn[case] = number
        elif outcome == "damaged":
            self._damaged[case] = number
        elif outcome == "recovered" and number in self._versions.get(case, {}):
            return  # what was accepted then is what counts again
        elif outcome in ("accepted", "recovered"):
            self._versions.setdefault(case, {})[number] = LabelVersion(
                case=case,
                number=number,
                path=self.history / case / str(event["file"]),
                sha256=str(event["sha256"]),
                time=str(event["time"]),
                user=str(event.get("user") or ""),
                no_tumour=bool(event.get("no_tumour")),
                event=event,
            )

    def _numbers_on_disk(self, case: str) -> list[int]:
        folder = self.history / case
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return [int(match[1]) for name in names if (match := _HISTORY_NAME.fullmatch(name))]

    def _publish(self, version: LabelVersion) -> None:
        """Copy to `final/`; the version counts without it."""
        try:
            with durable_file(self.final / f"{version.case}{SUFFIX}") as temporary:
                shutil.copyfile(version.path, temporary)
        except OSError as error:
            logger.warning("label of %s is stored, its copy in final/ is not: %s", version.case, error)
            (self.final / f"{version.case}{SUFFIX}").unlink(missing_ok=True)

    def _adopt_whole_files(self) -> list[str]:
        """Files in the history that the trail does not know: the submission was whole, only the answer got lost."""
        done = []
        for path in sorted(self.history.glob(f"*/*{SUFFIX}")):
            match, case = _HISTORY_NAME.fullmatch(path.name), path.parent.name
            if not match or int(match[1]) in self._versions.get(case, {}):
                continue
            try:
                empty = not sitk.GetArrayFromImage(sitk.ReadImage(str(path))).any()
            except RuntimeError:
                done.append(f"{case}: {path.name} cannot be read and is left aside")
                continue
            event = {"outcome": "recovered", "user": match[3], "no_tumour": empty}
            self._accept(case, int(match[1]), path, event)
            done.append(f"{case}: version {int(match[1])} found in the history is entered in the audit trail")
        return done

    def _repair(self, case: str) -> list[str]:
        newest, copy = self._versions[case][max(self._versions[case])], self.final / f"{case}{SUFFIX}"
        damaged = newest.number == self._damaged.get(case)
        version = newest if damaged else self._current(case)
        if version is None:
            copy.unlink(missing_ok=True)
            return []
        done = self._same_in_both(version, copy)
        if done is None:
            if not damaged:
                self.audit.append({"event": "label", "outcome": "damaged", "case": case, "version": version.number})
            return [
                f"{case}: version {version.number} is damaged in history/ and final/; restore it from a backup as "
                f"history/{case}/{version.path.name} (SHA-256 {version.sha256}) and start again"
            ]
        if damaged:
            event = {"outcome": "recovered", "user": version.user, "no_tumour": version.no_tumour}
            self._accept(case, version.number, version.path, event)
            done.append(f"{case}: version {version.number}, which was damaged, is whole again and counts")
        return done

    def _same_in_both(self, version: LabelVersion, copy: Path) -> list[str] | None:
        """Make history and `final/` both hold a version that one of them has; what was done, None if neither has it."""
        sound = version.path.is_file() and file_sha256(version.path) == version.sha256
        copied = copy.is_file() and file_sha256(copy) == version.sha256
        if not sound and not copied:
            return None
        if not copied:
            self._publish(version)
            return [f"{version.case}: final/{copy.name} was missing or changed and is the history's version again"]
        if not sound:
            with durable_file(version.path) as temporary:
                shutil.copyfile(copy, temporary)
            return [
                f"{version.case}: version {version.number} of the history was damaged and is copied back from final/"
            ]
        return []


def _plain(user: object) -> str:
    """A user's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", str(user or "unknown")).strip("-.")[:40] or "unknown"
