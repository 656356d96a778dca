"""The last line of a failed run is its cause."""

import sys

import pytest
from igtv.configuration.error_summary import first_cause, show_cause_last


@pytest.fixture
def hook(monkeypatch):
    """The hook, on top of one that prints nothing."""
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    show_cause_last()
    return sys.excepthook


def wrapped():
    try:
        try:
            raise ValueError("fold=7 is not among the folds")
        except ValueError as cause:
            raise RuntimeError("Failed to instantiate") from cause
    except RuntimeError as error:
        return error


def test_first_cause_is_found_through_the_wraps():
    assert str(first_cause(wrapped())) == "fold=7 is not among the folds"


def test_cause_is_the_last_line(hook, capsys):
    hook(RuntimeError, wrapped(), None)
    assert capsys.readouterr().err == "\nValueError: fold=7 is not among the folds\n"


def test_an_error_without_cause_is_not_said_twice(hook, capsys):
    hook(ValueError, ValueError("alone"), None)
    assert capsys.readouterr().err == ""


def test_set_twice_it_prints_once(hook, capsys):
    show_cause_last()
    assert sys.excepthook is hook
