"""Work that several ask for: once for all, a failure for a while, and nothing of it in memory after that."""

import gc
import threading
import time
import weakref

import pytest
from lib.studies import shared_work
from lib.studies.shared_work import SharedWork, StillRunning

LONG_S = 20.0


class Series:
    """What a work has in its hands when it fails."""


@pytest.fixture
def work():
    return SharedWork("test")


def ask(work, key, do, seconds=LONG_S):
    return work.result(key, do, time.monotonic() + seconds)


def test_done_once_for_all_who_ask(work):
    go, calls = threading.Event(), []

    def slow():
        calls.append(1)
        go.wait(LONG_S)
        return 7

    with pytest.raises(StillRunning):
        ask(work, "a", slow, 0.01)
    go.set()
    assert ask(work, "a", slow) == 7 and calls == [1]


def test_a_failure_keeps_nothing_of_what_failed(work):
    """It is remembered; the series in the frames of the work, and of what it came of, are not."""
    held = []

    def inner():
        series = Series()
        held.append(weakref.ref(series))
        raise KeyError("element")

    def fail():
        series = Series()
        held.append(weakref.ref(series))
        try:
            inner()
        except KeyError as error:
            raise ValueError("no volume") from error

    for _ in range(2):
        with pytest.raises(ValueError, match="no volume"):
            ask(work, "a", fail)
    gc.collect()
    assert len(held) == 2 and "a" in work._failed  # the second one was told at once
    assert [reference() for reference in held] == [None, None]


def test_old_failures_are_forgotten_whatever_is_asked_next(work, monkeypatch):
    def fail():
        raise ValueError("no volume")

    for key in ("a", "b"):
        with pytest.raises(ValueError, match="no volume"):
            ask(work, key, fail)
    assert set(work._failed) == {"a", "b"}
    monkeypatch.setattr(shared_work, "FAILURE_SECONDS", 0.0)
    assert ask(work, "c", lambda: 1) == 1 and work._failed == {}


def test_the_log_says_where_an_unforeseen_failure_came_from(work, caplog):
    def fail():
        raise AttributeError("a bug")

    with pytest.raises(AttributeError):
        ask(work, "ct 1.2", fail)
    assert "ct 1.2 failed" in caplog.text and "in fail" in caplog.text
