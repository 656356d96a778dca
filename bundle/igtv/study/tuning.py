"""Settings of a training, chosen among candidates by validation Dice; the cases to test on take no part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_json
from .branch import Branch
from .plan import LONG, TRAINED
from .store import load_json
from .units import UnitRunner

TUNING_FILE = "tuning.json"


def run_tuning(branch: Branch, runner: UnitRunner, architectures: Sequence[str]) -> None:
    """Train every candidate once and write `tuning.json`: the candidates, their Dice, which one was taken.

    The candidate with the highest best validation Dice is taken, the earlier one of equals; of the main networks, which
    are compared with each other, the one with the highest mean over them (`Branch.tuned_with`). Scratch and pre-trained
    choose apart. Where a candidate failed nothing is chosen, and the arms that wait for it are left out.

    Args:
        branch: of the study.
        runner: of its units.
        architectures: whose settings are wanted this time; what was chosen for others stays.
    """
    units = {key: branch.candidate(*key) for key in branch.candidates(architectures)}
    results = dict(zip(units, runner.run(list(units.values()), f"tuning {branch.home}"), strict=True))
    table: dict[str, Any] = dict(load_json(_path(branch)) or {})
    for init in TRAINED:
        candidates = branch.plan.tuning[init]
        tuned = branch.tuned_for(init, architectures)
        dice = {name: [_dice(results.get((init, name, k))) for k in range(len(candidates))] for name in tuned}
        for name in tuned:
            together = branch.tuned_with(name)
            if any(result is None for key, result in results.items() if key[0] == init and key[1] in together):
                continue  # one of the candidates failed: the choice waits until all of them have been seen
            mean = np.mean([dice[other] for other in together], axis=0)
            best = int(mean.argmax()) if len(candidates) else None
            table[f"{init}_{name}"] = {
                "candidates": list(candidates),
                "validation_dice": dice[name],
                "mean_validation_dice": mean.tolist(),
                "chosen": best,
                "settings": {} if best is None else dict(candidates[best]),
            }
    write_json(_path(branch), table)


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
        f"{init}_{name}": table[f"{kind}_{branch.tuned_with(name)[0]}"]["settings"]
        for init, kind in kinds.items()
        for name in branch.plan.architectures
        if f"{kind}_{branch.tuned_with(name)[0]}" in table
    }


def _path(branch: Branch) -> Path:
    return branch.folder / branch.home / TUNING_FILE


def _dice(result: Mapping[str, Any] | None) -> float:
    return -1.0 if result is None or result["best_val_dice"] is None else float(result["best_val_dice"])
