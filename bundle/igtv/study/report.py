"""From the tests to what is read: results.csv, study.json, curves, end slices, and one page to mail."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.tables import write_rows, write_text
from .branch import Branch, Cell, breathing_branches
from .calibration import CALIBRATION_FILE
from .comparisons import compare_all
from .cost import measured_cost, placeholder_data, projected_hours, study_size
from .curves import save_curves
from .data import BREATHING, PHANTOM
from .decisions import decide
from .end_pictures import pictured_cases, save_end_slices
from .masks import MASKS_FILE, load_masks
from .outcome import OUTCOMES, Row, arm_summary, choose_rows, read_test
from .page import render_page
from .plan import SCRATCH, TRAINED, StudyPlan, split_arm
from .store import load_json, save_json
from .tuning import TUNING_FILE, chosen_settings
from .units import RESULT_FILE, Unit, UnitRunner

RESULTS_FILE, STUDY_FILE, REPORT_FILE, CURVES_FILE = "results.csv", "study.json", "report.html", "curves.png"
# of the public sarcoma patients; they reckon the full study's cost where Data B was left out
PATIENTS, PATIENTS_KEPT_APART = 33, 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What a report is made of.

    Attributes:
        plan: of the study.
        branches: its data sets.
        tests: per branch, the tests that have been done.
        runner: knows their results.
        registration: what is registered, None for nothing.
        unregistered: how the study differs from it.
        full_plan: plan of the full study, whose cost is reckoned.
    """

    plan: StudyPlan
    branches: Sequence[Branch]
    tests: Mapping[str, Mapping[Cell, Unit]]
    runner: UnitRunner
    registration: Mapping[str, Any] | None
    unregistered: Sequence[str]
    full_plan: StudyPlan


def write_report(folder: Path, findings: Findings) -> dict[str, Any]:
    """Write everything; what has not been tested is left out and counted.

    Returns:
        Content of `study.json`.
    """
    letters = dict.fromkeys(branch.letter for branch in findings.branches)
    tables = {
        letter: _tables(folder, [branch for branch in findings.branches if branch.letter == letter], findings)
        for letter in letters
    }
    every = [{"data": letter, **row} for letter, table in tables.items() for row in table["rows"]]
    if every:
        write_rows(folder / RESULTS_FILE, every)
    study = {
        "scale": findings.plan.scale,
        "registration": _registration(findings),
        "data": {letter: {k: v for k, v in table.items() if k != "rows"} for letter, table in tables.items()},
        "data_b": "made of real patients" if BREATHING in tables else "left out: no patients_dir was given",
        "cost": _cost(findings),
        "failures": dict(findings.runner.failures),
    }
    save_json(folder / STUDY_FILE, study)
    write_text(folder / REPORT_FILE, render_page(folder, study, findings.plan))
    logger.info("report in %s", folder / REPORT_FILE)
    return study


def _tables(folder: Path, branches: Sequence[Branch], findings: Findings) -> dict[str, Any]:
    """Tables of one data set; the folds of a cross-validation test different patients and are read as one."""
    plan, home = branches[0].plan, folder / branches[0].letter
    tests = {branch.home: findings.tests[branch.home] for branch in branches}
    rows = [
        row
        for done in tests.values()
        for cell, unit in done.items()
        for row in read_test(folder / unit.name, cell.arm, cell.size, cell.seed)
    ]
    tested = {row["size"] for row in rows}
    sizes = [size for size in branches[0].sizes if size in tested] or branches[0].sizes
    testing = [case for branch in branches for case in branch.data.testing]
    patients = {case["patient"] for case in testing}
    pictures, validation = [], validation_dice(branches, findings.runner)
    if rows:
        save_curves(home / CURVES_FILE, plan, rows, sizes, f"Data {branches[0].letter}")
        pictures = _end_pictures(folder / branches[0].home, branches[0], tests[branches[0].home], rows, plan)
    results = {
        f"{name}/{cell.name}": findings.runner.result(unit)
        for name, done in tests.items()
        for cell, unit in done.items()
    }
    return {
        "rows": rows,
        "licence": branches[0].data.licence,
        "note": plan.breathing_note if branches[0].letter == BREATHING else "",
        "folds": len(branches),
        "patients_tested": len(patients),
        "cases_tested": len(testing),
        "network_tests": {
            "done": sum(split_arm(cell.arm)[0] in (*SCRATCH, *TRAINED) for done in tests.values() for cell in done),
            "of": sum(len(branch.network_cells()) for branch in branches),
        },
        "arms": _arm_table(plan, rows, sizes),
        "comparisons": compare_all(plan, rows, sizes) if rows else [],
        "decisions": [
            decide(rule, rows, plan.main_size, plan.resamples, plan.seeds, patients, validation)
            for rule in plan.hypotheses
        ],
        "chosen": {name: result["chosen"] for name, result in results.items() if "chosen" in result},
        "at_the_edge": {name: result["at_the_edge"] for name, result in results.items() if result.get("at_the_edge")},
        "tuning": {
            f"{branch.home}/{name}": entry
            for branch in branches
            for name, entry in (load_json(folder / branch.home / TUNING_FILE) or {}).items()
        },
        "calibration": load_json(home / CALIBRATION_FILE),
        "pictures": pictures,
        "validation_dice": validation,
    }


def validation_dice(branches: Sequence[Branch], runner: UnitRunner) -> dict[str, float]:
    """Best validation Dice of network arms at the main size, mean of seeds and folds; not of arms that lack one."""
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


def _arm_table(plan: StudyPlan, rows: Sequence[Row], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One entry per arm and size, with the summary of every outcome."""
    table = []
    for size in sizes:
        for arm in plan.arms():
            chosen = choose_rows(rows, arm, size)
            if chosen:
                numbers = {metric: arm_summary(chosen, metric, plan.resamples) for metric in OUTCOMES}
                seeds = sorted({row["seed"] for row in chosen})
                table.append({"arm": arm, "size": size, "seeds": seeds, **numbers})
    return table


def _end_pictures(
    home: Path, branch: Branch, tests: Mapping[Cell, Unit], rows: Sequence[Row], plan: StudyPlan
) -> list[str]:
    """End slices of the main arms at the main size, first seed, cases at the quartiles of their Dice."""
    cells = [
        Cell(f"{init}_{name}", plan.main_size, plan.seeds[0])
        for init in TRAINED
        for name in reversed(plan.main_architectures)
    ]
    cells = [cell for cell in cells if cell in tests]
    if not cells:
        return []
    arms = {cell.arm for cell in cells}
    own = {case["case"] for case in branch.data.testing}
    shown = pictured_cases(
        [row for row in rows if row["arm"] in arms and row["size"] == plan.main_size and row["case"] in own]
    )
    masks = {cell.arm: load_masks(branch.folder / tests[cell].name / MASKS_FILE) for cell in cells}
    by_name = {case["case"]: case for case in branch.data.testing}
    paths = []
    for name in shown:
        path = home / "end_slices" / f"{name}.png"
        save_end_slices(path, by_name[name], {arm: found[name] for arm, found in masks.items()})
        paths.append(str(path.relative_to(branch.folder)))
    return paths


def _registration(findings: Findings) -> dict[str, Any]:
    known = findings.registration or {}
    return {
        "registered": known.get("registered"),
        "sha256": known.get("sha256"),
        "differs": list(findings.unregistered),
    }


def _cost(findings: Findings) -> dict[str, Any]:
    """Measured seconds, and the full study reckoned from them."""
    runner = findings.runner
    paths = sorted(runner.folder.rglob(RESULT_FILE))
    results = [load_json(path) for path in paths]
    cost = measured_cost(results, runner.num_parallel) | {
        "device": ", ".join(sorted({result.get("device", runner.device) for result in results}))
    }
    plan = findings.full_plan
    phantom = Branch(
        PHANTOM, plan, placeholder_data(plan, PHANTOM, plan.testing_cases), runner.folder, plan.sizes, plan.recipe
    )
    folds = plan.breathing_folds or 1
    patients = PATIENTS if folds > 1 else PATIENTS_KEPT_APART
    tested = round(patients * int(plan.breathing["cycles_per_case"]) / folds)
    real = breathing_branches(plan, [placeholder_data(plan, BREATHING, tested)] * folds, runner.folder)
    full = {}
    for name, branches in (("A", [phantom]), ("A and B", [phantom, *real])):
        size = study_size(plan, branches)
        full[name] = {**size, "hours": projected_hours(size, cost)}
    return cost | {"full_study": full}
