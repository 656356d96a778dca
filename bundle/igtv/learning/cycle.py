"""One run of the work of a cycle: its folder, its process, its progress, its end."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..locks import locked
from .bound_process import start_bound, stop_bound
from .progress import ProgressFile, TrainingWatch
from .work import BUNDLE_DIR, PHASES_FILE, do_work

CYCLE_PREFIX, LOCK_FILE, LOG_FILE, FAILURE_FILE = "cycle_", ".lock", "work.log", "last_failure.log"
LOOK_EVERY_S = 0.5
# of variables that a training has no use for: passwords of a server's users, of its PACS
SECRET_WORDS = ("PASSWORD", "PASSWD", "TOKEN", "SECRET", "CREDENTIAL", "ACCOUNTS", "MONAI_LABEL_")
LOCK_WAIT_S = 1.0  # who only looks whether a cycle is under way holds the lock for an instant too


class CycleStopped(RuntimeError):
    """The cycle was stopped on request; the current model is what it was."""


class CycleFailed(RuntimeError):
    """Training or evaluation ended with an error; the current model is what it was."""


class CycleUnderWay(RuntimeError):
    """Another cycle is under way in the same folder, in whatever process."""


@contextmanager
def cycle_folder(work_dir: Path) -> Iterator[Path]:
    """A folder for one cycle, removed at its end; only one cycle at a time has one.

    Raises:
        CycleUnderWay: another cycle is under way in `work_dir`.
    """
    try:
        with locked(work_dir / LOCK_FILE, wait_s=LOCK_WAIT_S):
            for leftover in work_dir.glob(f"{CYCLE_PREFIX}*"):  # its process was killed, or it would hold the lock
                shutil.rmtree(leftover, ignore_errors=True)
            folder = work_dir / f"{CYCLE_PREFIX}{datetime.now():%Y%m%d_%H%M%S}"
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError as error:
        raise CycleUnderWay(f"a training is under way in {work_dir}: wait for its end or stop it") from error


def is_under_way(work_dir: Path) -> bool:
    """Whether a cycle is under way in a folder, in whatever process."""
    try:
        with locked(work_dir / LOCK_FILE, wait_s=0):
            return False
    except BlockingIOError:
        return True


def work_here(plan: Mapping[str, Any], progress: ProgressFile) -> None:
    """Do the work in this process.

    Raises:
        CycleFailed: with what went wrong.
    """
    try:
        do_work(plan, progress.update)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        raise CycleFailed(f"the training failed: {error}") from error


def work_in_child(
    plan: Mapping[str, Any], folder: Path, progress: ProgressFile, watch: TrainingWatch, stop: threading.Event
) -> None:
    """Do the work in a process of its own that ends with this one.

    Args:
        plan: see `work.do_work`.
        folder: of the cycle.
        progress: told of phases and epochs.
        watch: of the training.
        stop: ends the work when it is set.

    Raises:
        CycleStopped: `stop` was set.
        CycleFailed: with the last line of the log, which stays in `last_failure.log`.
    """
    plan_path, log = folder / "plan.json", folder / LOG_FILE
    plan_path.write_text(json.dumps(plan), encoding="utf-8")
    paths = [str(BUNDLE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**without_secrets(os.environ), "PYTHONPATH": os.pathsep.join(paths)}
    process = start_bound([sys.executable, "-m", "igtv.learning.work", str(plan_path)], log, environment)
    progress.update(pid=process.pid)
    try:
        while process.poll() is None:
            if stop.wait(LOOK_EVERY_S):
                raise CycleStopped("the training was stopped; the current model is unchanged")
            _report(folder, progress, watch)
    finally:
        stop_bound(process)
    _report(folder, progress, watch)
    if process.returncode != 0:
        shutil.copyfile(log, folder.parent / FAILURE_FILE)
        raise CycleFailed(_reason(process.returncode, log))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment but for those whose name says that they hold a secret."""
    return {name: value for name, value in environment.items() if not any(word in name for word in SECRET_WORDS)}


def _report(folder: Path, progress: ProgressFile, watch: TrainingWatch) -> None:
    phases = folder / PHASES_FILE
    entries = watch.look() or {}
    lines = phases.read_text(encoding="utf-8").split() if phases.is_file() else []
    if lines and lines[-1] != progress.content.get("phase"):
        entries["phase"] = lines[-1]
    if entries:
        progress.update(**entries)


def _reason(code: int, log: Path) -> str:
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return f"the training's process was ended by signal {number}; the current model is unchanged"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"the training failed: {lines[-1] if lines else f'code {code}'} (log: {FAILURE_FILE})"
