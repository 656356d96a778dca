"""Files that are on the disk, not in its cache, when a call returns."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from igtv.files import TEMPORARY_PREFIX, replacing
from igtv.learning.durable import flush_folder


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """As `igtv.files.replacing`, and the file survives a power cut once the block has ended.

    Yields:
        The path to write to, in the same folder.
    """
    with replacing(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    flush_folder(path.parent)


def remove_leftovers(folder: Path) -> int:
    """Delete temporary files of writes that were killed; returns how many there were."""
    leftovers = list(folder.rglob(f"{TEMPORARY_PREFIX}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
