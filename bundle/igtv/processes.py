"""Processes and threads that share out work: how many, and how processes start and end."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

import joblib
import torch

from .configuration.whole_numbers import whole_number


def usable_processors() -> int:
    """Processors that this process may use; under a scheduler or a container's quota fewer than the machine has."""
    return joblib.cpu_count()


def bound_threads() -> None:
    """Let PyTorch compute with no more threads than usable processors.

    It knows nothing of a container's quota (`docker run --cpus 4`): on a large machine it would start one thread per
    core, which the quota then stops again and again.
    """
    if torch.get_num_threads() > usable_processors():
        torch.set_num_threads(usable_processors())


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
