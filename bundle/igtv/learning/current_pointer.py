"""Which version of a model is in use, and every change of it."""

import json
import logging
from pathlib import Path
from typing import Any

from .durable import append_line, now, read_lines, write_json_durably
from .model_version import ModelVersion

CURRENT_FILE, HISTORY_FILE = "current.json", "history.jsonl"

logger = logging.getLogger(__name__)


class CurrentPointer:
    """The number of the version in use, in a file that is replaced in one step, and its history.

    A change is a line of the history first and then the file, so that either can be made anew from the other. The
    caller holds the registry's lock around `point_to` and `repair`.

    Args:
        folder: of the registry.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CURRENT_FILE
        self.history_path = folder / HISTORY_FILE

    def history(self) -> list[dict[str, Any]]:
        """Every change, the oldest first: time, number, from, sha256, reason, user."""
        return read_lines(self.history_path)

    def number(self) -> int | None:
        """Number of the version in use; where the file is missing or damaged, the last one of the history, if any."""
        try:
            return int(json.loads(self.path.read_text(encoding="utf-8"))["number"])
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is damaged: taking the last version of %s", self.path, self.history_path.name)
        history = self.history()
        return history[-1]["number"] if history else None

    def point_to(self, version: ModelVersion, reason: str, user: str) -> None:
        """Take a version into use.

        Args:
            version: the version.
            reason: "seed", "accepted" or "rollback".
            user: who asked for it.
        """
        entry = {
            "time": now(),
            "number": version.number,
            "from": self.number(),
            "sha256": version.sha256,
            "reason": reason,
            "user": user,
        }
        append_line(self.history_path, entry)
        write_json_durably(self.path, entry)

    def repair(self) -> None:
        """Write the file anew where a crash came between the line of the history and the file."""
        history = self.history()
        if not history:
            return
        pointer = self._read()
        if pointer is None or (pointer != history[-1] and pointer in history):  # else the history lost its end
            write_json_durably(self.path, history[-1])

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None
