"""Ends the traceback of a failed run with its cause.

MONAI wraps whatever a config item raises ("Failed to instantiate component ..."), so that the sentence that helps
stands in the middle of some hundred lines. It is said once more at the end, where a terminal shows it.
"""

import sys
from types import TracebackType


def show_cause_last() -> None:
    """Let the process print the first cause of an error that ends it below the traceback. Calling it again is free."""
    if getattr(sys.excepthook, "shows_cause", False):
        return
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        usual(kind, error, traceback)
        cause = first_cause(error)
        if cause is not error:
            print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)

    hook.shows_cause = True
    sys.excepthook = hook


def first_cause(error: BaseException) -> BaseException:
    """The error that the others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
