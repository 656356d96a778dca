"""Whose a data folder is: one server has it; any other process looks at what is in it, and puts nothing right."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO

LOCK_NAME = "server.lock"
_LOOKING: ContextVar[bool] = ContextVar("looking", default=False)


class FolderTaken(RuntimeError):
    """Another server has the folder; the text says which."""


def take(root: Path) -> IO[str]:
    """Lock a data folder for a server: two would lose each other's labels.

    Returns:
        The lock, which holds until it is closed or the process ends.

    Raises:
        FolderTaken: another server has it.
    """
    lock = (root / LOCK_NAME).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = _owner(lock)
        lock.close()
        raise FolderTaken(f"another server (process {owner or '?'}) uses {root}; stop it first") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


@contextlib.contextmanager
def looking() -> Iterator[None]:
    """What is opened within changes nothing: a check may run beside a server, and before anybody decided to start."""
    token = _LOOKING.set(True)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def is_only_looked_at(root: Path) -> bool:
    """Whether this process must leave a data folder as it is: see `looking`, or because another one serves it."""
    return _LOOKING.get() or _is_served_by_another(root)


def _is_served_by_another(root: Path) -> bool:
    try:
        lock = (root / LOCK_NAME).open("r")
    except FileNotFoundError:
        return False
    with lock:
        if _owner(lock) == str(os.getpid()):
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _owner(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip()
