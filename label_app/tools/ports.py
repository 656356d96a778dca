"""Ports for servers that are told where to listen before they run.

The system hands out ports of its own range to every connection that leaves this computer: one that was free a moment
ago may be taken when the server wants it. Those below that range stay free.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

SYSTEM_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, FEWEST = 20000, 2000


def free_port() -> int:
    """A port of this computer on which nobody listens; another one at every call.

    Raises:
        RuntimeError: all were handed out, or are in use.
    """
    for port in _ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no port is free")


def own_ports(system_from: int, worker: int, workers: int) -> range:
    """The ports of one of several processes that run tests side by side.

    Args:
        system_from: first port that the system hands out by itself; where that leaves too few, its own are among them.
        worker: number of the process, from 0.
        workers: how many there are.
    """
    share = (max(system_from, FIRST + FEWEST) - FIRST) // workers
    return range(FIRST + worker * share, FIRST + (worker + 1) * share)


def _in_turn() -> Iterator[int]:
    """Each port of this process once, from anywhere on: programs that know nothing of each other seldom meet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    ports = own_ports(int(SYSTEM_RANGE.read_text().split()[0]), worker, workers)
    begin = random.SystemRandom().randrange(len(ports))
    return itertools.chain(ports[begin:], ports[:begin])


_ports = _in_turn()
