"""Work that outlives its request: one thread per kind, with the task records MONAI Label's clients poll."""

import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .errors import RequestError, answer

MAX_TASKS = 50


class Stopped(Exception):
    """The task was asked to stop."""


class BackgroundWork:
    """Tasks of one kind, one after the other.

    Args:
        kind: what they do, for messages: `scoring`, `batch_infer`.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._tasks: deque[dict[str, Any]] = deque(maxlen=MAX_TASKS)
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def start(self, request: dict[str, Any], work: Callable[[Callable[..., None]], Any], enqueue: bool = False):
        """Start `work` in a thread.

        Args:
            request: for the record.
            work: gets `say(line)`, which notes progress and raises `Stopped` when the task was stopped; without a line
                it only does the latter.
            enqueue: wait behind a running task, where otherwise the request is refused.

        Returns:
            The record of the task.

        Raises:
            RequestError: 429 when one runs already.
        """
        with self._lock:
            if self._active() and not enqueue:
                raise RequestError(f"A task of {self.kind} is running already.", 429)
            if len([task for task in self._tasks if task["status"] == "SUBMITTED"]) >= 10:
                raise RequestError(f"Ten tasks of {self.kind} wait already.", 429)
            task = {"id": str(uuid.uuid4()), "status": "SUBMITTED", "request": request, "start_ts": _now()}
            task["details"] = deque(maxlen=20)
            self._tasks.append(task)
        threading.Thread(target=self._run, args=(task, work), name=self.kind, daemon=True).start()
        return self._record(task)

    def _run(self, task: dict[str, Any], work: Callable) -> None:
        def say(line: str = "") -> None:
            if task["status"] == "STOPPED":
                raise Stopped
            if line:
                task["details"].append(line)

        with self._turn:
            with self._lock:  # a stop comes before, and is seen, or after, and is kept
                if task["status"] == "STOPPED":
                    return
                task["status"] = "RUNNING"
            try:
                result = work(say)
                task["details"].append(f"done: {result}" if result is not None else "done")
                status = "DONE"
            except Stopped:
                status = "STOPPED"
            except Exception as error:
                task["details"].append(answer(error)[1])
                status = "ERROR"
            with self._lock:
                if task["status"] == "RUNNING":
                    task["status"] = status
                task["end_ts"] = _now()

    def _active(self) -> list[dict[str, Any]]:
        return [task for task in self._tasks if task["status"] in ("SUBMITTED", "RUNNING")]

    def status(self, every: bool = False, check_if_running: bool = False) -> Any:
        """Record of the last task, of all, or of the running one; None when there is none."""
        with self._lock:
            tasks = self._active() if check_if_running else list(self._tasks)
            if not tasks:
                return None
            return [self._record(task) for task in tasks] if every else self._record(tasks[-1])

    def stop(self) -> dict[str, Any] | None:
        """Ask the running task, and those that wait, to stop; it does between two steps."""
        with self._lock:
            active = self._active()
            for task in active:
                task["status"] = "STOPPED"
            return self._record(active[0]) if active else None

    @staticmethod
    def _record(task: dict[str, Any]) -> dict[str, Any]:
        return {**task, "details": list(task["details"])}


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")
