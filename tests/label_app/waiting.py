"""Waiting for what another thread or process does."""

import time

import pytest


def wait_for(condition, seconds: float = 60.0, what: str = "what is waited for"):
    """The first true value of `condition()`; the test fails where there is none in time."""
    until, pause_s = time.monotonic() + seconds, 0.002
    while not (value := condition()):
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, 0.2)
    return value
