"""Files that survive a crash: written whole and flushed to the disk when the call returns."""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import json_text, replacing

TAIL_BYTES = 1 << 16


def now() -> str:
    """The time in UTC, to the second, as ISO text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def flush_folder(folder: str | Path) -> None:
    """Make renames in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_file(path: str | Path) -> None:
    """Make the content of a file survive a loss of power."""
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def durable_file(path: str | Path) -> Iterator[Path]:
    """As `igtv.files.replacing`, and the file survives a power cut once the block has ended.

    Yields:
        The path to write to, in the same folder.
    """
    path = Path(path)
    with replacing(path) as temporary:
        yield temporary
        flush_file(temporary)
    flush_folder(path.parent)


def write_json_durably(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Replace a JSON file in one step; after the return it is on the disk."""
    with durable_file(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")
    return Path(path)


def append_line(path: str | Path, entry: Mapping[str, Any]) -> None:
    """Append one JSON object as a line, see `append_after`."""
    append_after(path, lambda tail: json.dumps(entry).encode())


def append_after(path: str | Path, line_after: Callable[[bytes], bytes], mode: int = 0o666) -> None:
    """Append a line that may depend on what stands before it; after the return it is on the disk.

    The caller holds a lock.

    Args:
        path: the file, made where missing.
        line_after: from the end of the file, at most `TAIL_BYTES`, to the line without its end.
        mode: permissions of a new file, less the umask.

    Raises:
        OSError: it could not be written whole (full disk); the file is then as before.
    """
    path = Path(path)
    known = path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        size = os.fstat(handle).st_size
        tail = os.pread(handle, TAIL_BYTES, max(0, size - TAIL_BYTES))
        # a line that a crash cut off stays as it is, and is ended
        start = b"" if not tail or tail.endswith(b"\n") else b"\n"
        data = start + line_after(tail) + b"\n"
        try:
            if os.write(handle, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    if not known:
        flush_folder(path.parent)


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """Objects of a file of JSON lines; a line that a crash cut off is left out. None where there is no file."""
    path = Path(path)
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return entries
