"""Where a cycle stands: a small JSON file that anyone may read at any time."""

import csv
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import write_json
from ..training.history import LOG_NAME
from .durable import now

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"


class ProgressFile:
    """Writes the file; every call replaces it as a whole.

    Keys: `state` (running, done, failed, stopped), `phase` (collecting, training, evaluating, deciding), `epoch`,
    `epochs`, `train_loss`, `val_dice`, `best_val_dice`, `seconds_left`, `started`, `updated`, `pid`; at the end
    `version`, `accepted`, `reasons`, `dice`; after a failure `message`.

    Args:
        path: the file; None: nothing is written.
        listener: gets the changed entries of every change.
    """

    def __init__(self, path: str | Path | None, listener: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.listener = listener
        self.content: dict[str, Any] = {}
        self._lock = threading.Lock()

    def start(self, **entries: Any) -> None:
        """Begin anew."""
        self.content = {"state": RUNNING, "started": now()}
        self.update(**entries)

    def update(self, **entries: Any) -> None:
        """Change some entries."""
        with self._lock:
            self.content = {**self.content, **entries, "updated": now()}
            if self.path is not None:
                write_json(self.path, self.content)
        if self.listener is not None:
            self.listener(entries)


def read_progress(path: str | Path) -> dict[str, Any]:
    """Content of a progress file; empty where there is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class TrainingWatch:
    """Reads what a training of the bundle writes after every epoch, to know how far it is.

    Args:
        output_dir: of the training.
        epochs: of the training.
    """

    def __init__(self, output_dir: str | Path, epochs: int) -> None:
        self.path = Path(output_dir) / LOG_NAME
        self.epochs = epochs
        self._seen = 0
        self._first: tuple[float, int] | None = None

    def look(self) -> dict[str, Any] | None:
        """Entries for the progress file when an epoch has ended since the last look, else None."""
        rows = self._rows()
        if len(rows) <= self._seen:
            return None
        self._seen = len(rows)
        clock, epoch = time.monotonic(), int(rows[-1]["epoch"])
        if self._first is None:
            self._first = (clock, epoch)
        began, first = self._first
        dice = [float(row["val_dice"]) for row in rows if row["val_dice"]]
        return {
            "epoch": epoch,
            "epochs": self.epochs,
            "train_loss": float(rows[-1]["train_loss"]),
            "val_dice": dice[-1] if dice else None,
            "best_val_dice": max(dice, default=None),
            "seconds_left": round((clock - began) / (epoch - first) * (self.epochs - epoch)) if epoch > first else None,
        }

    def _rows(self) -> list[dict[str, str]]:
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []
