"""Threads for compiled kernels that release the GIL: safe after fork and when called from several threads at once.

Numba's own layers are not: workqueue aborts when two threads call it, OpenMP hangs in a forked child.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_executors: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    # A forked child inherits the executor object but none of its threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_executors.clear)


def thread_count() -> int:
    """How many threads a kernel may use: PyTorch's setting, which is 1 in DataLoader workers."""
    return torch.get_num_threads()


def _executor(helpers: int) -> ThreadPoolExecutor:
    if helpers not in _executors:
        _executors.setdefault(helpers, ThreadPoolExecutor(helpers, thread_name_prefix="igtv-scan"))
    return _executors[helpers]


def run_parts(work: Callable[[int], None], parts: int) -> None:
    """Call `work(part)` once for every part, on up to `thread_count()` threads of which the caller is one.

    Raises:
        Exception: whatever `work` raises, once all threads have stopped.
    """
    helpers = min(thread_count(), parts) - 1
    if helpers <= 0:
        for part in range(parts):
            work(part)
        return
    next_part = itertools.count()

    def take_parts() -> None:
        while (part := next(next_part)) < parts:
            work(part)

    executor = _executor(thread_count() - 1)
    futures = [executor.submit(take_parts) for _ in range(helpers)]
    try:
        take_parts()
    finally:
        # A helper still queued (behind another caller's work) has nothing left to do.
        started = [future for future in futures if not future.cancel()]
        errors = [future.exception() for future in started]
    for error in errors:
        if error is not None:
            raise error
