"""Tables of cases as CSV, and texts; written whole or not at all."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import replacing

NAN = float("nan")
METRICS_FILE = "metrics.csv"
TEXT_COLUMNS = ("case", "patient", "reference_sha256")


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write a text file in one step; its folder is made where missing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_rows(path: str | os.PathLike, rows: Sequence[Mapping]) -> Path:
    """Write rows as CSV; a metric that is not defined (NaN), or that a row lacks, is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _is_nan(value) else value for name, value in row.items()})
    return Path(path)


def read_rows(run: str | os.PathLike) -> list[dict]:
    """Read the rows of an evaluation: its folder or its metrics.csv; empty cells become NaN.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table of cases.
    """
    path = Path(run)
    path = path / METRICS_FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no evaluation at {path}: give its folder or its {METRICS_FILE}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"case", "dice"} <= set(rows[0]):
        raise ValueError(f"{path} is not a table of an evaluation: it needs the columns `case` and `dice` and a row")
    try:
        return [
            {key: value if key in TEXT_COLUMNS else float(value or "nan") for key, value in row.items()} for row in rows
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds a cell that is not a number: {error}") from error


def column(rows: Iterable[Mapping], name: str) -> np.ndarray:
    """One column of the rows as floats, NaN where a row lacks it."""
    return np.array([row.get(name, NAN) for row in rows], dtype=float)


def _is_nan(value) -> bool:
    return isinstance(value, float) and math.isnan(value)
