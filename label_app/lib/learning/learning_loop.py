"""Trainings of the app, one after the other: from the annotators' labels to a version that is served or refused."""

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igtv.learning.cycle import CycleFailed, CycleStopped, CycleUnderWay, is_under_way
from igtv.learning.gate import GateRule
from igtv.learning.model_version import ModelVersion
from igtv.learning.progress import FAILED, RUNNING, STOPPED, ProgressFile, read_progress
from igtv.learning.retrain import CURRENT, PRETRAINED, CycleSettings, run_cycle

from ..server.background import BackgroundWork, Stopped
from ..server.errors import RequestError
from .labelled_cases import labelled_cases, open_frozen_set, under_frozen_names
from .models import FINE_TUNED

PROGRESS_FILE, FROZEN_DIR, WORK_DIR = "progress.json", "frozen", "work"
STARTS = (PRETRAINED, CURRENT)
SHOWN = ("phase", "epoch", "epochs", "train_loss", "val_dice", "seconds_left", "state", "message", "reasons")
STOP_WAIT_S = 15.0

logger = logging.getLogger(__name__)


class LearningLoop:
    """Starts, shows and stops trainings; hangs on the app as `app.learning`.

    A training computes in a process of its own that ends with this one. It writes into `work`, and what it made gets
    into the registry through this process alone.

    Args:
        app: has `models`, `folders`, `options`, `datastore()`.
    """

    def __init__(self, app: Any):
        self.app = app
        self.folder: Path = app.folders.learning
        self.progress_path = self.folder / PROGRESS_FILE
        self._work = BackgroundWork("training")
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._note_interrupted()

    def start(self, model: str, params: Mapping[str, Any], enqueue: bool = False) -> dict[str, Any]:
        """Start a training in the background.

        Args:
            model: name of the trainer.
            params: `max_epochs`, `samples_per_epoch`, `start_from`, `device`, `user`.
            enqueue: wait behind a running training, where otherwise the request is refused.

        Returns:
            The record of the task, as MONAI Label's clients know it.

        Raises:
            RequestError: 429 when one runs already.
        """
        settings = self.settings(params)
        user = str(params.get("user") or "")
        request = {"model": model, **{key: value for key, value in params.items() if key != "user"}, "user": user}
        return self._work.start(request, lambda say: self._run_in_background(settings, user, say), enqueue)

    def running(self) -> dict[str, Any] | None:
        """Record of the training that runs; None when there is none."""
        return self._work.status(check_if_running=True)

    def status(self, every: bool = False) -> Any:
        """Record of the last training, or of all; None when there was none."""
        return self._work.status(every)

    def stop(self) -> dict[str, Any] | None:
        """Stop the training that runs and those that wait; the model in use stays."""
        record = self._work.stop()
        self._stop.set()
        return record

    def close(self) -> None:
        """Stop everything, and wait until the training's process is gone."""
        self.stop()
        self._idle.wait(STOP_WAIT_S)

    def run(self, params: Mapping[str, Any], listener: Any = None) -> ModelVersion:
        """One training, from start to end, in the calling thread.

        Args:
            params: see `start`.
            listener: gets every change of the progress.

        Returns:
            The version that came of it, accepted or refused.

        Raises:
            RequestError: it could not start (409: another process trains), or failed; the text says why and the model
                in use stays.
            CycleStopped: it was stopped.
        """
        return self._run(self.settings(params), str(params.get("user") or ""), listener)

    def settings(self, params: Mapping[str, Any]) -> CycleSettings:
        """Settings of a cycle from a client's parameters; whatever else a client sends is not looked at.

        Raises:
            RequestError: a value of the wrong kind.
        """
        options = self.app.options
        finetuning: dict[str, Any] = {}
        for name, key, most in (("max_epochs", "epochs", 10000), ("samples_per_epoch", "samples_per_epoch", 100000)):
            if params.get(name) is not None:
                finetuning[key] = _whole_number(name, params[name], most)
        device = params.get("device") or options.device
        if device:
            finetuning["device"] = _device(device)
        start_from = params.get("start_from") or PRETRAINED
        if start_from not in STARTS:
            raise RequestError(f"start_from must be one of {', '.join(STARTS)}.")
        rule = GateRule(margin=options.gate_margin, max_case_drop=options.max_case_drop)
        return CycleSettings(start_from=start_from, finetuning=finetuning, rule=rule)

    def stats(self) -> dict[str, Any]:
        """What `/info/` shows of training, with the names 3D Slicer's progress bar reads; a few small files."""
        progress = read_progress(self.progress_path)
        current = self.app.models[FINE_TUNED].current()
        frozen_dice = current.metrics.get("dice")
        stats = {
            "model": current.label,
            "trained_on": current.card.get("name"),
            "frozen_dice": frozen_dice,
            "best_metric": frozen_dice or 0.0,
        }
        if not progress:
            return stats
        state = progress.get("state")
        if state == RUNNING and not is_under_way(self.folder / WORK_DIR):
            state = FAILED
        stats |= {key: progress[key] for key in SHOWN if progress.get(key) is not None} | {"state": state}
        stats |= {"start_ts": progress.get("started"), "epoch": progress.get("epoch", 0)}
        stats["total_epochs"] = progress.get("epochs", 1)
        if state == RUNNING:
            stats["best_metric"] = progress.get("best_val_dice") or stats["best_metric"]
        else:
            stats["total_time"] = progress.get("updated")
            stats |= {key: progress[key] for key in ("version", "accepted", "dice") if key in progress}
        return stats

    def _run_in_background(self, settings: CycleSettings, user: str, say: Any) -> str:
        self._stop.clear()
        self._idle.clear()

        def listen(entries: Mapping[str, Any]) -> None:
            try:
                say(", ".join(f"{key} {_short(entries[key])}" for key in SHOWN if entries.get(key) is not None))
            except Stopped:
                self._stop.set()

        try:
            say()  # a stop that came before the event was cleared
            version = self._run(settings, user, listen)
        except CycleStopped:
            raise Stopped from None
        finally:
            self._idle.set()
        return f"{version.label} {version.status}: {'; '.join(version.decision['reasons'])}"

    def _run(self, settings: CycleSettings, user: str, listener: Any) -> ModelVersion:
        progress = ProgressFile(self.progress_path, listener)
        options = self.app.options
        try:
            cases, left_out, unreachable = labelled_cases(self.app.datastore(), self._stop)
            frozen = open_frozen_set(
                self.folder / FROZEN_DIR, cases, options.frozen_share, options.frozen_set, unreachable
            )
            cases = under_frozen_names(cases, frozen)
        except (ValueError, OSError, CycleStopped) as error:
            progress.start(phase="collecting")
            progress.update(state=STOPPED if isinstance(error, CycleStopped) else FAILED, message=str(error))
            raise
        try:
            return run_cycle(
                self.app.models[FINE_TUNED],
                cases,
                frozen,
                self.folder / WORK_DIR,
                settings,
                progress=progress,
                stop=self._stop,
                user=user,
                left_out=left_out,
            )
        except CycleFailed as failure:
            raise RequestError(str(failure), 500) from failure
        except CycleUnderWay as other:  # of another server or command; this one's own wait in line
            text = "a training of another process is under way for these studies: wait for its end or stop it"
            raise RequestError(text, 409) from other

    def _note_interrupted(self) -> None:
        """A training whose server was killed still says that it runs."""
        progress = read_progress(self.progress_path)
        if progress.get("state") == RUNNING and not is_under_way(self.folder / WORK_DIR):
            file = ProgressFile(self.progress_path)
            file.content = progress
            file.update(state=FAILED, message="the server ended during this training; the current model is unchanged")


def _whole_number(name: str, value: Any, most: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise RequestError(f"{name} must be a whole number.") from None
    if isinstance(value, (bool, float)) or not 1 <= number <= most:
        raise RequestError(f"{name} must be a whole number from 1 to {most}.")
    return number


def _device(value: Any) -> str:
    text = str(value)
    kind, _, number = text.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise RequestError("device must be such as cpu, cuda or cuda:1.")
    return text


def _short(value: Any) -> str:
    return json.dumps(round(value, 4) if isinstance(value, float) else value)
