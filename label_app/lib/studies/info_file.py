"""What is noted about images and proposals (when they were served, their scores), in one JSON file.

Nothing that cannot be made again is in it: labels and who drew them are in the audit trail. Each change is read,
made and written under one lock, so that no process overwrites another's, and the file is replaced in one step.
"""

import copy
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from igtv.files import replacing

from .data_folder import is_only_looked_at

logger = logging.getLogger(__name__)

LOCK_SECONDS = 60


class InfoFile:
    """`{"name", "description", "images": {id: {...}}, "proposals": {id: {...}}}` on the disk.

    Args:
        path: of the JSON file; one beside it ends in `.backup`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.backup = path.with_name(path.name + ".backup")
        self._lock_path = str(path.with_name(f".{path.name}.lock"))
        self._view_lock = threading.Lock()
        self._content = _empty()
        self._stamp: tuple[int, int, int] | None = None

    def content(self) -> dict[str, Any]:
        """A copy of everything; a file that is missing or damaged is none."""
        with self._view_lock:
            self._load()
            return copy.deepcopy(self._content)

    def entry(self, part: str, name: str) -> dict[str, Any]:
        """A copy of what is noted about one image or proposal."""
        with self._view_lock:
            self._load()
            return copy.deepcopy(self._content[part].get(name, {}))

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Apply a change to the newest content and write it.

        Raises:
            OSError: it could not be written; the file is as before.
        """
        with FileLock(self._lock_path, timeout=LOCK_SECONDS), self._view_lock:
            self._load(repair=True)
            content = copy.deepcopy(self._content)
            change(content)
            with replacing(self.path) as temporary:
                with temporary.open("w", encoding="utf-8") as file:
                    json.dump(content, file, default=str)
                    file.flush()
                    os.fsync(file.fileno())
                if self._stamp is not None:
                    self._keep_backup()
            self._content, self._stamp = content, self._file_stamp()

    def recover(self) -> list[str]:
        """Set a damaged file aside and go on with its backup, or without; nothing while the folder is another's."""
        if is_only_looked_at(self.path.parent):
            return []
        with FileLock(self._lock_path, timeout=LOCK_SECONDS), self._view_lock:
            return self._load(repair=True)

    def _load(self, repair: bool = False) -> list[str]:
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return []
        if stamp is None:
            self._content, self._stamp = _empty(), None
            return []
        content = _read(self.path)
        if content is not None:
            self._content, self._stamp = content, stamp
            return []
        backup = _read(self.backup) if self.backup.exists() else None
        self._content, self._stamp = backup or _empty(), None
        done = []
        if repair:
            aside = self.path.with_name(f"{self.path.stem}.damaged-{time.strftime('%Y%m%dT%H%M%S')}.json")
            os.replace(self.path, aside)
            origin = "its backup" if backup else "nothing (scores are computed anew)"
            done = [f"{self.path.name} was damaged: set aside as {aside.name}, rebuilt from {origin}"]
            logger.warning("%s", done[0])
        return done

    def _keep_backup(self) -> None:
        """The last good file under the backup's name, without copying it."""
        try:
            self.backup.unlink(missing_ok=True)
            os.link(self.path, self.backup)
        except OSError as error:  # a file system without links: the file itself is still replaced in one step
            logger.debug("no backup of %s: %s", self.path.name, error)

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _empty() -> dict[str, Any]:
    return {"name": "", "description": "", "images": {}, "proposals": {}}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    whole = {**_empty(), **content}
    parts = (whole["images"], whole["proposals"])
    sound = all(isinstance(part, dict) and all(isinstance(entry, dict) for entry in part.values()) for part in parts)
    return whole if sound else None
