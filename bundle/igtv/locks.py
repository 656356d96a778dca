"""Locks between processes that the kernel lifts when their holder ends.

`filelock` is no substitute: where a file system knows no flock, it falls back on a marker that a killed process leaves.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: str | Path, wait_s: float | None = None) -> Iterator[None]:
    """Hold a lock between processes; it ends with the process that holds it, however that ends.

    Args:
        path: the lock's file, made where missing.
        wait_s: longest wait for the lock; None: for as long as it takes.

    Raises:
        BlockingIOError: another process still holds it after `wait_s`.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as stream:
        if wait_s is None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        else:
            _lock_within(stream, wait_s)
        yield


def _lock_within(stream: IO[str], wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)
