"""Settings of a training, chosen among candidates by validation Dice; the cases to test on take no part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .branch import Branch
from .plan import LONG, TRAINED
from .store import load_json, save_json
from .units import UnitRunner

TUNING_FILE = "tuning.json"


def run_tuning(branch: Branch, runner: UnitRunner, architectures: Sequence[str]) -> None:
    """Train every candidate once and write `tuning.json`: the candidates, their Dice, which one was taken.

    The candidate with the highest best validation Dice is taken, the earlier one of equals. Scratch and pre-trained
    choose apart, and every main network and CNN for itself (`Branch.tuned_on`). Where a candidate failed nothing is
    chosen, and the arms that wait for it are left out.

    Args:
        branch: of the study.
        runner: of its units.
        architectures: whose settings are wanted this time; what was chosen for others stays.
    """
    units = {key: branch.candidate(*key) for key in branch.candidates(architectures)}
    results = dict(zip(units, runner.run(list(units.values()), f"tuning {branch.home}"), strict=True))
    table: dict[str, Any] = dict(load_json(_path(branch)) or {})
    for init in TRAINED:
        for architecture in dict.fromkeys(branch.tuned_on(name) for name in architectures):
            candidates = branch.plan.tuning[init]
            if any(result is None for key, result in results.items() if key[:2] == (init, architecture)):
                continue  # one of its candidates failed: the choice waits until all of them have been seen
            dice = [_dice(results.get((init, architecture, number))) for number in range(len(candidates))]
            best = max(range(len(candidates)), key=lambda number, dice=dice: (dice[number], -number), default=None)
            table[f"{init}_{architecture}"] = {
                "candidates": list(candidates),
                "validation_dice": dice,
                "chosen": best,
                "settings": {} if best is None else dict(candidates[best]),
            }
    save_json(_path(branch), table)


def chosen_settings(branch: Branch) -> Mapping[str, dict[str, Any]]:
    """Settings of every network arm whose tuning has been done.

    Raises:
        FileNotFoundError: the tuning has not been done.
    """
    table = load_json(_path(branch))
    if table is None:
        raise FileNotFoundError(f"{_path(branch)} is missing: run the stage tuning first")
    kinds = {init: init for init in TRAINED} | {LONG: "scratch"}  # the long training takes what the short one chose
    return {
        f"{init}_{name}": table[f"{kind}_{branch.tuned_on(name)}"]["settings"]
        for init, kind in kinds.items()
        for name in branch.plan.architectures
        if f"{kind}_{branch.tuned_on(name)}" in table
    }


def _path(branch: Branch) -> Path:
    return branch.folder / branch.home / TUNING_FILE


def _dice(result: Mapping[str, Any] | None) -> float:
    return -1.0 if result is None or result["best_val_dice"] is None else float(result["best_val_dice"])
