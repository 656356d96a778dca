"""Files: written so that a reader, or a crash, never meets half of one; told apart by what they hold."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def free_path(path: str | Path, suffix: str = "") -> Path:
    """The path, or where something is there already, that with `_2`, `_3`, ... before its suffix.

    Args:
        path: file or folder.
        suffix: the end of its name that stays the end, such as ".nii.gz".
    """
    path = Path(path)
    stem, target, number = path.name.removesuffix(suffix), path, 1
    while target.exists():
        number += 1
        target = path.with_name(f"{stem}_{number}{suffix}")
    return target


def remove_leftovers(folder: str | Path) -> int:
    """Delete what writes that were killed left in a folder and below; returns how many files there were."""
    leftovers = list(Path(folder).rglob(f"{TEMPORARY_PREFIX}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def write_json(path: str | Path, content: Mapping[str, Any], mode: int = 0o666) -> Path:
    """Write JSON in one step (see `replacing` for `mode` and `json_text` for what can be written)."""
    with replacing(path, mode) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")
    return Path(path)


def json_text(content: Mapping[str, Any]) -> str:
    """Readable JSON; arrays and tensors become lists, NaN and infinity, which JSON does not know, become null.

    Raises:
        TypeError: something else that JSON cannot hold.
    """
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def file_state(path: str | Path) -> tuple[int, int] | None:
    """Time of the last change in ns, and size: differs once the file was replaced; None where it cannot be seen."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
