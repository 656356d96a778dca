"""Units of work: each has a folder, is done by a process of its own, and counts when its `result.json` is there."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..configuration.whole_numbers import whole_number
from ..files import file_sha256, write_json
from ..learning.bound_process import start_bound, stop_bound
from ..learning.work import BUNDLE_DIR
from ..processes import usable_processors
from ..training.checkpoint_keeper import BEST_NAME
from .masks import MASKS_FILE
from .store import load_json
from .work import PARTIAL_FILE, WORK_FILE, do_unit

RESULT_FILE, LOG_FILE = "result.json", "work.log"
HANDED_ON = (BEST_NAME, MASKS_FILE)  # what other units start from
LOOK_EVERY_S = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        name: its folder below the study's, such as "A/arms/scratch_segresnet/n10_seed0".
        kind: of `work.KINDS`.
        work: what `work.do_unit` needs, as JSON.
        needs: units that must have been done, such as the training of the model.
    """

    name: str
    kind: str
    work: Mapping[str, Any]
    needs: tuple["Unit", ...] = field(default=())

    def fingerprint(self, roots: Sequence[str]) -> str:
        """SHA-256 of what the unit and all that it needs do; the places in `roots` do not count: a study may be moved.

        The work alone names a model by its path, whatever it was trained with.
        """
        needed = [unit.fingerprint(roots) for unit in self.needs]
        text = json.dumps({"kind": self.kind, "work": self.work, "needs": needed}, sort_keys=True)
        for root in filter(None, roots):
            text = text.replace(json.dumps(str(root))[1:-1], "")
        return hashlib.sha256(text.encode()).hexdigest()


class UnitRunner:
    """Does units, several at a time, keeps their results and goes on where an earlier run was stopped.

    Args:
        folder: of the study.
        roots: folders whose place does not matter, see `Unit.fingerprint`.
        device: of trainings and tests; None: CUDA where there is one.
        num_parallel: processes at a time, of one thread each on a CPU; None: as many as usable processors, one with
            CUDA.
        own_process: each unit in a process of its own; otherwise one after another in this one.
    """

    def __init__(
        self,
        folder: str | Path,
        roots: Sequence[str] = (),
        device: str | None = None,
        num_parallel: int | None = None,
        own_process: bool = True,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.roots = [str(self.folder), *roots]
        self.device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.on_cpu = torch.device(self.device).type == "cpu"
        default = usable_processors() if self.on_cpu else 1
        self.num_parallel = default if num_parallel is None else whole_number("num_parallel", num_parallel, 1)
        self.own_process = own_process
        self.failures: dict[str, str] = {}

    def all_results(self) -> list[dict[str, Any]]:
        """Contents of `result.json` of all units that have been done, in the order of their names."""
        return [load_json(path) for path in sorted(self.folder.rglob(RESULT_FILE))]

    def result(self, unit: Unit) -> dict[str, Any] | None:
        """Result of a unit that has been done, else None.

        Raises:
            ValueError: it was done with other settings, or what it started from has been made anew since.
        """
        path = self.folder / unit.name / RESULT_FILE
        result = load_json(path)
        if result is not None and result["fingerprint"] != unit.fingerprint(self.roots):
            raise ValueError(
                f"{unit.name} was done with other settings or other cases: give a new output_dir, or move "
                f"{path.parent} away to have it done again"
            )
        for name, made in ({} if result is None else self._made_from(unit)).items():
            if result["made_from"][name] != made:
                raise ValueError(
                    f"{unit.name} was made from another {name} than the one that is there now: move {path.parent} away "
                    "to have it done again"
                )
        return result

    def run(self, units: Sequence[Unit], title: str) -> list[dict[str, Any] | None]:
        """Do what is not done yet; a unit that fails is noted in `failures`, and the others go on.

        Args:
            units: none needs another of the same list.
            title: of the progress bar.

        Returns:
            Result of every unit, None for those that failed.
        """
        waiting = [unit for unit in units if self.result(unit) is None]
        done = len(units) - len(waiting)
        with tqdm(total=len(units), initial=done, desc=title, unit="unit", smoothing=0.1) as bar:
            (self._run_apart if self.own_process else self._run_here)(waiting, bar)
        return [None if unit.name in self.failures else self.result(unit) for unit in units]

    def _run_apart(self, waiting: list[Unit], bar: tqdm) -> None:
        running: list[tuple[Unit, subprocess.Popen, float]] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.num_parallel:
                    unit = waiting.pop(0)
                    if self._lacks_something(unit):
                        bar.update()
                        continue
                    running.append((unit, self._start(unit), time.monotonic()))
                for entry in [entry for entry in running if entry[1].poll() is not None]:
                    running.remove(entry)
                    unit, process, start = entry
                    stop_bound(process)
                    if process.returncode == 0:
                        self._conclude(unit, time.monotonic() - start)
                    else:
                        self._fail(unit, self._last_words(unit, process.returncode))
                    bar.update()
                time.sleep(LOOK_EVERY_S)
        finally:
            for _, process, _ in running:
                stop_bound(process)

    def _run_here(self, waiting: list[Unit], bar: tqdm) -> None:
        for unit in waiting:
            if not self._lacks_something(unit):
                start = time.monotonic()
                try:
                    do_unit(self._prepare(unit))
                    self._conclude(unit, time.monotonic() - start)
                except Exception as error:  # as of a process of its own: the other units are not to be lost
                    self._fail(unit, f"{type(error).__name__}: {error}")
            bar.update()

    def _lacks_something(self, unit: Unit) -> bool:
        missing = [need.name for need in unit.needs if self.result(need) is None]
        if missing:
            self._fail(unit, f"needs {', '.join(missing)}, which has not been done")
        return bool(missing)

    def _made_from(self, unit: Unit) -> dict[str, dict[str, str]]:
        """Of the needed units that have been done: name -> what they made."""
        results = {need.name: load_json(self.folder / need.name / RESULT_FILE) for need in unit.needs}
        return {name: result["made"] for name, result in results.items() if result is not None}

    def _prepare(self, unit: Unit) -> Path:
        folder = self.folder / unit.name
        content = {"kind": unit.kind, "work": unit.work, "device": self.device, "made_from": self._made_from(unit)}
        before = load_json(folder / WORK_FILE)
        if before is not None and before["made_from"] != content["made_from"]:
            shutil.rmtree(folder)  # a training that was killed would go on from other weights than it started from
        write_json(folder / WORK_FILE, content)
        return folder

    def _start(self, unit: Unit) -> subprocess.Popen:
        folder = self._prepare(unit)
        paths = [str(BUNDLE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        if self.on_cpu:
            threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            environment |= {**threads, "OMP_WAIT_POLICY": "PASSIVE"}
        return start_bound([sys.executable, "-m", "igtv.study.work", str(folder)], folder / LOG_FILE, environment)

    def _conclude(self, unit: Unit, seconds: float) -> None:
        """Make what the work left the result: with it, the unit counts as done."""
        folder = self.folder / unit.name
        made = load_json(folder / PARTIAL_FILE)
        seconds = max(seconds, made.get("training_seconds", 0.0))  # a training that was resumed took longer than this
        content = {"unit": unit.name, "kind": unit.kind, "device": self.device, "seconds": round(seconds, 1), **made}
        content |= {
            "fingerprint": unit.fingerprint(self.roots),
            "made": {name: file_sha256(folder / name) for name in HANDED_ON if (folder / name).is_file()},
            "made_from": load_json(folder / WORK_FILE)["made_from"],
        }
        write_json(folder / RESULT_FILE, content)
        (folder / PARTIAL_FILE).unlink()

    def _last_words(self, unit: Unit, code: int) -> str:
        if code < 0 or code > 128:
            return f"ended by signal {-code if code < 0 else code - 128}"
        lines = (self.folder / unit.name / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), f"code {code}")
        return f"{last} (log: {unit.name}/{LOG_FILE})"

    def _fail(self, unit: Unit, reason: str) -> None:
        self.failures[unit.name] = reason
        logger.error("%s failed: %s", unit.name, reason)
