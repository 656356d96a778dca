"""Begin and end of a server: one per data folder, checked, warmed up; it leaves nothing running behind."""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from ..studies.data_folder import FolderTaken, take
from .self_check import Check, check_app
from .sessions import remove_expired
from .uploads import empty

logger = logging.getLogger(__name__)
SWEEP_EVERY_S, LEFTOVER_AFTER_S = 600.0, 3600.0


class StartRefused(RuntimeError):
    """The server cannot start, and the text says why."""


def begin(app: Any) -> list[Check]:
    """Take the data folder, check everything, start the warm-up.

    Args:
        app: `IgtvApp`; its `server_lock` is the lock of the data folder, where it was taken before the app was made.

    Returns:
        The checks.

    Raises:
        StartRefused: another server uses the folder, or a check says that this one could not work.
    """
    _take_folder(app)
    empty(app.folders.temporary)
    # nobody asks for the sessions of an earlier server any more, and they hold images of patients
    empty(app.folders.sessions)
    # what MONAI Label and others write for a while goes into the private folder
    tempfile.tempdir = str(app.folders.temporary)
    checks = check_app(app)
    for check in checks:
        logger.log(logging.INFO if check.ok else logging.ERROR if check.fatal else logging.WARNING, "%s", check)
    wrong = [check for check in checks if not check.ok and check.fatal]
    if wrong:
        end(app)
        raise StartRefused("; ".join(map(str, wrong)))
    app.ready = threading.Event()
    app.closing = threading.Event()
    threading.Thread(target=_sweep, args=(app,), name="sweep", daemon=True).start()
    threading.Thread(target=_warm_up, args=(app,), name="warm-up", daemon=True).start()
    return checks


def end(app: Any) -> None:
    """Stop what the app started; safe to call twice."""
    if getattr(app, "closing", None) is not None:
        app.closing.set()
    if app.learning is not None:
        app.learning.close()
    lock, app.server_lock = getattr(app, "server_lock", None), None
    if lock is not None:
        lock.close()


def _take_folder(app: Any) -> None:
    """Lock the data folder of an app that was made before: MONAI Label's own command does it in this order."""
    if getattr(app, "server_lock", None) is not None:
        return
    try:
        app.server_lock = take(app.folders.root)
    except FolderTaken as taken:
        raise StartRefused(str(taken)) from None
    # while the app was made, the folder may still have been that of a server that has ended since
    app.datastore().labels.recover()


def _sweep(app: Any) -> None:
    """Remove from time to time what requests left that were cut off, and sessions that nobody uses."""
    while not app.closing.wait(SWEEP_EVERY_S):
        _try(lambda: empty(app.folders.temporary, LEFTOVER_AFTER_S))
        _try(lambda: remove_expired(app.sessions()))


def _try(step: Callable[[], Any]) -> None:
    """A step that fails is done the next time; the others go on."""
    try:
        step()
    except Exception:
        logger.warning("sweeping failed; it is tried again in %.0f s", SWEEP_EVERY_S, exc_info=True)


def _warm_up(app: Any) -> None:
    """Do once what is slow the first time: load the weights, compile the kernels."""
    start = time.monotonic()
    try:
        if app.options.warm_up:
            app.warm_up()
    except Exception:
        logger.warning("the warm-up failed; the first request will be slower", exc_info=True)
    finally:
        app.ready.set()
        logger.info("warm-up took %.1f s", time.monotonic() - start)
