"""From the tests to what is read: results.csv, study.json, curves, end slices, and one page to mail."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.tables import write_rows, write_text
from ..files import write_json
from .branch import Branch, Cell, breathing_branches
from .calibration import CALIBRATION_FILE
from .comparisons import compare_all
from .cost import measured_cost, placeholder_patients, placeholder_phantom, projected_hours, study_size
from .curves import save_curves
from .data import BREATHING, PHANTOM
from .decisions import decide_all
from .end_pictures import pictured_cases, save_end_slices
from .evidence import read_tests, validation_dice
from .masks import MASKS_FILE, load_masks
from .outcome import OUTCOMES, Row, arm_summary, choose_rows
from .page import render_page
from .plan import SCRATCH, TRAINED, StudyPlan, split_arm
from .store import load_json
from .tuning import TUNING_FILE
from .units import Unit, UnitRunner

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
    write_json(folder / STUDY_FILE, study)
    write_text(folder / REPORT_FILE, render_page(folder, study, findings.plan))
    logger.info("report in %s", folder / REPORT_FILE)
    return study


def _tables(folder: Path, branches: Sequence[Branch], findings: Findings) -> dict[str, Any]:
    """Tables of one data set; the folds of a cross-validation test different patients and are read as one."""
    plan, home = branches[0].plan, folder / branches[0].letter
    tests = {branch.home: findings.tests[branch.home] for branch in branches}
    rows = [row for done in tests.values() for row in read_tests(folder, done)]
    tested = {row["size"] for row in rows}
    sizes = [size for size in branches[0].sizes if size in tested] or branches[0].sizes
    testing = [case for branch in branches for case in branch.data.testing]
    patients, validation = {case["patient"] for case in testing}, validation_dice(branches, findings.runner)
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
        "comparisons": compare_all(plan, rows, sizes),
        "decisions": decide_all(plan, rows, patients, validation),
        **_chosen(tests, findings.runner),
        "tuning": {
            f"{branch.home}/{name}": entry
            for branch in branches
            for name, entry in (load_json(folder / branch.home / TUNING_FILE) or {}).items()
        },
        "calibration": load_json(home / CALIBRATION_FILE),
        "pictures": _pictures(folder, branches, tests, rows, sizes),
        "validation_dice": validation,
    }


def _chosen(tests: Mapping[str, Mapping[Cell, Unit]], runner: UnitRunner) -> dict[str, Any]:
    """Margins and thresholds that were chosen, and those at the edge of what was tried."""
    results = {
        f"{home}/{cell.name}": runner.result(unit) for home, done in tests.items() for cell, unit in done.items()
    }
    return {
        "chosen": {name: result["chosen"] for name, result in results.items() if "chosen" in result},
        "at_the_edge": {name: result["at_the_edge"] for name, result in results.items() if result.get("at_the_edge")},
    }


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


def _pictures(folder: Path, branches: Sequence[Branch], tests, rows: Sequence[Row], sizes: Sequence[int]) -> list[str]:
    """Curves of all folds, end slices of the first fold's patients; paths of the latter."""
    if not rows:
        return []
    first, letter = branches[0], branches[0].letter
    save_curves(folder / letter / CURVES_FILE, first.plan, rows, sizes, f"Data {letter}")
    return _end_pictures(folder / first.home, first, tests[first.home], rows)


def _end_pictures(home: Path, branch: Branch, tests: Mapping[Cell, Unit], rows: Sequence[Row]) -> list[str]:
    """End slices of the main arms at the main size, first seed, cases at the quartiles of their Dice."""
    plan = branch.plan
    cells = [
        Cell(f"{init}_{name}", plan.main_size, plan.seeds[0])
        for init in TRAINED
        for name in reversed(plan.main_architectures)
    ]
    cells = [cell for cell in cells if cell in tests]
    if not cells:
        return []
    arms = {cell.arm for cell in cells}
    by_name = {case["case"]: case for case in branch.data.testing}
    shown = pictured_cases(
        [row for row in rows if row["arm"] in arms and row["size"] == plan.main_size and row["case"] in by_name]
    )
    masks = {cell.arm: load_masks(branch.folder / tests[cell].name / MASKS_FILE) for cell in cells}
    paths = []
    for rank, name in shown.items():
        path = home / "end_slices" / f"{rank}_{name}.png"
        save_end_slices(path, by_name[name], {arm: found[name] for arm, found in masks.items()}, rank)
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
    results = runner.all_results()
    cost = measured_cost(results, runner.num_parallel) | {
        "device": ", ".join(sorted({result.get("device", runner.device) for result in results}))
    }
    plan = findings.full_plan
    phantom = Branch(PHANTOM, plan, placeholder_phantom(plan), runner.folder, plan.sizes, plan.recipe)
    real = [branch for branch in findings.branches if branch.letter == BREATHING and plan is findings.plan]
    if not real:
        tested = PATIENTS_KEPT_APART if plan.breathing_folds is None else PATIENTS // plan.breathing_folds
        real = breathing_branches(plan, placeholder_patients(plan, PATIENTS, tested), runner.folder)
    full = {}
    for name, branches in (("A", [phantom]), ("A and B", [phantom, *real])):
        size = study_size(plan, branches)
        full[name] = {**size, "hours": projected_hours(size, cost)}
    return cost | {"full_study": full}
