"""Files that clients send: into a private folder of the request, under a name of ours, removed whatever happens."""

import mimetypes
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Folder that lives as long as the block.

    Args:
        parent: folder of temporary files of the app.
    """
    folder = Path(tempfile.mkdtemp(prefix="request-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(source: BinaryIO, path: Path) -> Path:
    """Write an upload to `path`."""
    with path.open("xb") as target:
        shutil.copyfileobj(source, target, 2**20)
    return path


def media_type(path: str | Path) -> str:
    """MIME type by the file's name; volumes have none of their own."""
    kind, encoding = mimetypes.guess_type(str(path), strict=False)
    return kind if kind and not encoding else "application/octet-stream"


def empty(folder: Path, older_than_s: float = 0.0) -> int:
    """Remove what an earlier server, or a request that was cut off, left in the folder.

    Args:
        folder: of temporary files.
        older_than_s: leave what was touched within this many s.

    Returns:
        How many entries were removed.
    """
    limit, removed = time.time() - older_than_s, 0
    for entry in folder.iterdir() if folder.is_dir() else ():
        try:
            if older_than_s and entry.lstat().st_mtime > limit:
                continue
        except FileNotFoundError:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
        removed += 1
    return removed
