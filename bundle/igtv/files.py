"""Files: written so that a reader, or a crash, never meets half of one; told apart by what they hold."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".writing-"


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# asked for once: it can only be read by setting it, and a file another thread makes meanwhile would get that mask
UMASK = _read_umask()


@contextmanager
def replacing(path: str | Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; move it into place when the block ends well.

    The temporary name keeps the suffixes of `path`, since image writers choose the format by them.

    Args:
        path: final path; its folder is made where missing.
        mode: permissions of the file but for those that the umask takes away, as for `os.open`; 0o600 for a secret,
            which nobody else can read at any time then.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX, suffix="".join(path.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; the result gets the permissions that open() would have given it
        temporary.chmod(mode & ~UMASK)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
