"""Slow work that several ask for is done once, in a thread of its own; each waits for it only as long as it will."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

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
            when, failure = self._failed.get(key, (0.0, None))
            if failure is not None and time.monotonic() < when + FAILURE_SECONDS:
                raise failure
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
            failure = error
        with self._lock:
            del self._running[key]
            self._failed.pop(key, None)
            if failure is not None:
                self._failed[key] = (time.monotonic(), failure)
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
