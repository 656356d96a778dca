"""What a decision rests on, read from the results of units: the rows of all tests, and the validation of the arms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .branch import Branch, Cell
from .outcome import read_test
from .tuning import chosen_settings
from .units import Unit, UnitRunner


def read_tests(folder: str | Path, tests: Mapping[Cell, Unit]) -> list[dict[str, Any]]:
    """Rows of all tests that have been done in one data set, see `outcome.read_test`.

    Args:
        folder: of the study.
        tests: that have been done.
    """
    return [
        row
        for cell, unit in tests.items()
        for row in read_test(Path(folder) / unit.name, cell.arm, cell.size, cell.seed)
    ]


def validation_dice(branches: Sequence[Branch], runner: UnitRunner) -> dict[str, float]:
    """Validation Dice of network arms at the main size, mean of seeds and folds; not of arms that lack one.

    Args:
        branches: the folds of one data set, or its only branch.
        runner: knows the results.
    """
    found: dict[str, list] = {}
    for branch in branches:
        try:
            chosen = chosen_settings(branch)
        except FileNotFoundError:
            return {}
        for cell in branch.network_cells():
            if cell.size == branch.plan.main_size and cell.arm in chosen:
                result = runner.result(branch.arm(cell, chosen[cell.arm])) or {}
                found.setdefault(cell.arm, []).append(result.get("best_val_dice"))
    return {arm: sum(values) / len(values) for arm, values in found.items() if None not in values}
