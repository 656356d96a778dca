"""The folder of an evaluation: its files, what it says of itself, and what an earlier one left in it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from ..data.case_names import check_case_name
from .tables import METRICS_FILE, read_rows

SUMMARY_FILE, REPORT_FILE, COMPARE_FILE = "summary.json", "report.html", "compare.json"
PICTURE_FILE = "evaluation.png"  # of a case, in `<case>/`


def run_name(run: str | os.PathLike) -> str:
    """Name of another run: its folder, not its path, which may hold a user's name."""
    path = Path(run).resolve()
    return path.name if path.is_dir() else path.parent.name


def read_made_with(run: str | os.PathLike) -> dict | None:
    """Settings that the masks of another run were made with; None where it does not say."""
    return _read_summary(run).get("settings", {}).get("made_with")


def read_notes(run: str | os.PathLike) -> list[str]:
    """What another run warns of, its name in front; nothing where it does not say."""
    return [f"{run_name(run)}: {note}" for note in _read_summary(run).get("notes", ())]


def _read_summary(run: str | os.PathLike) -> dict:
    path = Path(run)
    summary = (path if path.is_dir() else path.parent) / SUMMARY_FILE
    return json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}


def remove_results(folder: str | os.PathLike, keep_pictures_of: Collection[str] = ()) -> None:
    """Take away what an earlier evaluation wrote into a folder, and the folder where nothing else lies in it.

    Args:
        folder: of the evaluation; where there is none, nothing happens.
        keep_pictures_of: cases whose pictures are new already.
    """
    folder = Path(folder)
    for case in _measured_cases(folder) - set(keep_pictures_of):
        remove_picture(folder, case)
    for name in (METRICS_FILE, SUMMARY_FILE, REPORT_FILE, COMPARE_FILE):
        (folder / name).unlink(missing_ok=True)
    remove_if_empty(folder)


def remove_picture(folder: str | os.PathLike, case: str) -> None:
    """Take away the picture of a case, and its folder where nothing else lies in it."""
    picture = Path(folder) / case / PICTURE_FILE
    picture.unlink(missing_ok=True)
    remove_if_empty(picture.parent)


def remove_if_empty(folder: str | os.PathLike) -> None:
    """Remove a folder unless something lies in it."""
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _measured_cases(folder: Path) -> set[str]:
    """Cases of an earlier evaluation whose names are those of folders; none where it has no table."""
    try:
        return {check_case_name(row["case"]) for row in read_rows(folder)}
    except (OSError, ValueError):
        return set()
