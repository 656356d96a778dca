"""Slow work in threads of its own, so that quick questions never stand behind it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter

from .errors import RequestError

PACS_THREADS, PACS_LINE, RETRY_SECONDS = 16, 32, 30


class Workers:
    """Threads for inference (and its line), for uploads and files, and for waiting for the PACS.

    What needs the PACS waits among its own kind, so that a PACS that hangs holds up nothing else.

    Endpoints written as plain functions use the threads of the framework; those stay free for `/info/` and the like.

    Args:
        max_waiting: requests that may wait for the network; a few threads more refuse the others at once.
    """

    def __init__(self, max_waiting: int):
        self._network = CapacityLimiter(max_waiting + 4)
        self._files = CapacityLimiter(8)
        self._pacs = CapacityLimiter(PACS_THREADS)

    async def network(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run `work`, which takes a turn at the network."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._network)

    async def files(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run `work`, which reads or writes large files."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._files)

    async def pacs(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run `work`, which waits for the PACS.

        Raises:
            RequestError: 503, so many wait already that this one would not come to its turn.
        """
        if self._pacs.statistics().tasks_waiting >= PACS_LINE:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise RequestError("Too many requests wait for the PACS already. Please try again.", 503, retry)
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._pacs)

    async def files_or_pacs(self, here: Callable[[], bool], work: Callable, *args: Any) -> Any:
        """Run `work` as `files` does where what it reads is `here`, else as `pacs` does."""
        run = self.files if await anyio.to_thread.run_sync(here) else self.pacs
        return await run(work, *args)
