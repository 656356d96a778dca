"""Slow work that several ask for is done once, in a thread of its own; each waits for it only as long as it will."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

logger = logging.getLogger(__name__)

FAILURE_SECONDS = 10.0


class StillRunning(TimeoutError):
    """The work goes on, beyond the time that was given to it."""


class SharedWork:
    """Works by name, one of each name at a time.

    A failure is remembered for `FAILURE_SECONDS`: those who asked meanwhile, and who ask soon, get it at once in place
    of one more attempt each.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._running: dict[str, Future] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}

    def result(self, key: str, work: Callable[[], Any], until: float) -> Any:
        """What the work gives; that of a work of this name which runs already.

        Args:
            key: name of the work.
            work: done where none of this name runs.
            until: `time.monotonic()` at which the caller goes, whether it is done or not.

        Raises:
            StillRunning: it was not done by then.
            Exception: of the work.
        """
        with self._lock:
            self._forget_old_failures()
            if key in self._failed:
                # without the frames of those who were told before
                raise self._failed[key][1].with_traceback(None)
            future = self._running.get(key)
            if future is None:
                future = self._running[key] = Future()
                threading.Thread(target=self._do, args=(key, work, future), name=self._name, daemon=True).start()
        if not wait([future], max(0.0, until - time.monotonic())).done:
            raise StillRunning(key)
        return future.result()

    def _do(self, key: str, work: Callable[[], Any], future: Future) -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            if not isinstance(error, (ValueError, OSError)):  # unforeseen: where it came from is known here only
                logger.exception("%s failed", key)
            failure = _without_frames(error)
        with self._lock:
            del self._running[key]
            self._failed.pop(key, None)
            if failure is not None:
                self._failed[key] = (time.monotonic(), failure)
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)

    def _forget_old_failures(self) -> None:
        oldest = time.monotonic() - FAILURE_SECONDS
        self._failed = {key: (when, failure) for key, (when, failure) in self._failed.items() if when > oldest}


def _without_frames(error: Exception) -> Exception:
    """An error, and those it came of, without the frames they passed through, which hold whole series."""
    seen: set[BaseException | None] = {None}
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link not in seen:
            seen.add(link)
            link.__traceback__ = None
            links += [link.__cause__, link.__context__]
    return error
