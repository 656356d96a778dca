"""Slow work in threads of its own, so that quick questions never stand behind it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter


class Workers:
    """Threads for inference (and its line), and for uploads and the PACS.

    Endpoints written as plain functions use the threads of the framework; those stay free for `/info/` and the like.

    Args:
        max_waiting: requests that may wait for the network; a few threads more refuse the others at once.
    """

    def __init__(self, max_waiting: int):
        self._network = CapacityLimiter(max_waiting + 4)
        self._files = CapacityLimiter(8)

    async def network(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run `work`, which takes a turn at the network."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._network)

    async def files(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run `work`, which reads or writes large files or talks to the PACS."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._files)
