"""Processes that share out work: how many, and how they start and end."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from .configuration.whole_numbers import whole_number


def usable_processors() -> int:
    """Processors that this process may use; in a container or under a scheduler fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(num_workers: int | None) -> int:
    """Processes to use; None: one per usable processor.

    Raises:
        ValueError: `num_workers` is no whole number from 0.
    """
    if num_workers is None:
        return usable_processors()
    return whole_number("num_workers", num_workers, 0)


def process_pool(workers: int, start: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """A pool whose processes begin without the threads of this one, and end with it, however that ends.

    A fork would inherit what threads of this process (torch, SimpleITK, progress bars) hold at that moment as locks
    that nobody opens, and can hang. The fork server has no threads, and starts a process faster than "spawn". Like it,
    it imports the caller's main module: a script needs its `if __name__ == "__main__"`, and stdin cannot be one.

    Args:
        workers: number of processes.
        start: function of a module that each process calls first.
    """
    return ProcessPoolExecutor(workers, get_context("forkserver"), _begin, (start,))


def _begin(start: Callable[[], object] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start()


def _end_with_parent() -> None:
    wait([parent_process().sentinel])
    os._exit(1)
