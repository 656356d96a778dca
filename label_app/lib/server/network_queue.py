"""Turns at the network: one request computes, a few wait, further ones are told to come back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class NetworkBusy(RuntimeError):
    """No turn within the allowed time, or too many are waiting already.

    Attributes:
        retry_after_s: when to ask again, in s.
    """

    def __init__(self, message: str, retry_after_s: int):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NetworkQueue:
    """One turn at a time, first come first served; a thread that has the turn may take it again.

    The tasks of MONAI Label are not safe with several threads, and two volumes at once may not fit a GPU.

    Args:
        max_waiting: how many may wait; one more is refused at once.
        wait_seconds: longest wait in s.
    """

    def __init__(self, max_waiting: int = 8, wait_seconds: float = 120.0):
        self.max_waiting = int(max_waiting)
        self.wait_seconds = float(wait_seconds)
        self._state = threading.Condition()
        self._owner: int | None = None
        self._line: list[object] = []
        self._last_seconds = 5.0

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._line)

    @property
    def busy(self) -> bool:
        """Whether somebody has the turn."""
        return self._owner is not None

    @contextmanager
    def turn(self, wait_seconds: float | None = None, line_may_be_full: bool = False) -> Iterator[None]:
        """Have the network alone within the block.

        Args:
            wait_seconds: longest wait in s in place of the queue's own.
            line_may_be_full: wait also where `max_waiting` do already: for work that nobody waits for.

        Raises:
            NetworkBusy: when the line is full or the wait too long.
        """
        me = threading.get_ident()
        if self._owner == me:
            yield
            return
        self._enter(me, self.wait_seconds if wait_seconds is None else wait_seconds, line_may_be_full)
        start = time.monotonic()
        try:
            yield
        finally:
            with self._state:
                self._last_seconds = time.monotonic() - start
                self._owner = None
                self._state.notify_all()

    def _enter(self, me: int, wait_seconds: float, line_may_be_full: bool) -> None:
        ticket = object()
        with self._state:
            if len(self._line) >= self.max_waiting and self._owner is not None and not line_may_be_full:
                raise NetworkBusy(f"{len(self._line)} requests wait for the network already", self._retry_after())
            self._line.append(ticket)
            try:
                free = self._state.wait_for(lambda: self._owner is None and self._line[0] is ticket, wait_seconds)
                if not free:
                    raise NetworkBusy(f"the network was busy for {wait_seconds:.0f} s", self._retry_after())
                self._owner = me
            finally:
                self._line.remove(ticket)
                self._state.notify_all()

    def _retry_after(self) -> int:
        """About as long as those in front will take, at least 1 s."""
        return max(1, min(60, round(self._last_seconds * (len(self._line) + 1))))
