"""Waiting for what another thread or process does."""

import time

import pytest


def wait_for(condition, seconds: float = 20.0, what: str = "it did not happen"):
    """The first true value of `condition()`; the test fails where there is none in time."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > until:
            pytest.fail(f"{what} within {seconds:g} s")
        time.sleep(0.01)
    return value
