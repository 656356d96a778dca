"""The audit trail: one line of JSON per event, only ever appended, on the disk before anyone is told.

Every line carries the SHA-256 of the line before it, so that a line changed or taken out later shows.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from igtv.learning.durable import append_after

logger = logging.getLogger(__name__)

FIRST = "0" * 64


class AuditTrail:
    """Append and read events.

    Several processes may append; the caller holds the lock of the labels then (`append` alone takes none).
    """

    def __init__(self, path: Path):
        self.path = path

    def append(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Write an event to the disk.

        Args:
            event: JSON values; `time` (UTC) and `previous` are added.

        Returns:
            The event as written.

        Raises:
            OSError: it could not be written whole (full disk); the trail is then as before.
        """
        entry: dict[str, Any] = {}

        def line_after(tail: bytes) -> bytes:
            entry.update({"time": now(), **event, "previous": _digest(_last_line(tail)) if tail else FIRST})
            return json.dumps(entry, ensure_ascii=True, sort_keys=False).encode()

        append_after(self.path, line_after, mode=0o600)
        return entry

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Whole events from a place in the file on.

        Returns:
            The events, and the place where the next one will begin. Lines that are no event are passed over.
        """
        if not self.path.exists():
            return [], 0
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        return list(_events(data[:whole], self.path)), offset + whole

    def broken_links(self) -> list[int]:
        """Numbers (from 1) of the lines that do not follow the line before them as it was written."""
        if not self.path.exists():
            return []
        broken, previous = [], FIRST
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line:
                continue
            entry = _parsed(line)
            if entry is not None and entry.get("previous") != previous:
                broken.append(number)
            previous = _digest(line)
        return broken


def now() -> str:
    """Time of day in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _last_line(tail: bytes) -> bytes:
    return tail.rstrip(b"\n").rsplit(b"\n", 1)[-1]


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _events(data: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        entry = _parsed(line) if line else None
        if entry is not None:
            yield entry
        elif line:
            logger.warning("%s: a damaged line is passed over (%d bytes)", path.name, len(line))
