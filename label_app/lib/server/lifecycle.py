"""Begin and end of a server: one per data folder, checked, warmed up; it leaves nothing running behind."""

import fcntl
import logging
import os
import tempfile
import threading
import time
from typing import Any

from .self_check import Check, check_app
from .uploads import empty

logger = logging.getLogger(__name__)
SWEEP_EVERY_S, LEFTOVER_AFTER_S = 600.0, 3600.0


class StartRefused(RuntimeError):
    """The server cannot start, and the text says why."""


def begin(app: Any) -> list[Check]:
    """Take the data folder, check everything, start the warm-up.

    Args:
        app: `IgtvApp`.

    Returns:
        The checks.

    Raises:
        StartRefused: another server uses the folder, or a check says that this one could not work.
    """
    _take_folder(app)
    empty(app.folders.temporary)
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
    """Lock the data folder: two servers would lose each other's labels."""
    if getattr(app, "server_lock", None) is not None:
        return
    lock = (app.folders.root / "server.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise StartRefused(f"another server (process {owner or '?'}) uses {app.folders.root}; stop it first") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    app.server_lock = lock


def _sweep(app: Any) -> None:
    """Remove from time to time what requests left that were cut off."""
    while not app.closing.wait(SWEEP_EVERY_S):
        empty(app.folders.temporary, LEFTOVER_AFTER_S)
        app.cleanup_sessions()


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
