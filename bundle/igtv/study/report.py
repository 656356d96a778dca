"""From the tests to what is read: results.csv, study.json, curves, end slices, and one page to mail."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.tables import write_rows, write_text
from .branch import Branch, Cell
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
from .plan import TRAINED, StudyPlan
from .store import load_json, save_json
from .tuning import TUNING_FILE, chosen_settings
from .units import RESULT_FILE, Unit, UnitRunner

RESULTS_FILE, STUDY_FILE, REPORT_FILE, CURVES_FILE = "results.csv", "study.json", "report.html", "curves.png"
PATIENTS_TESTED = 8  # of the real patients at hand; reckons the full study's cost where Data B was left out

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What a report is made of.

    Attributes:
        plan: of the study.
        branches: its data sets.
        tests: per data set, the tests that have been done.
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
    tables = {branch.letter: _branch_tables(folder, branch, findings) for branch in findings.branches}
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


def _branch_tables(folder: Path, branch: Branch, findings: Findings) -> dict[str, Any]:
    plan, tests = findings.plan, findings.tests[branch.letter]
    rows = [
        row for cell, unit in tests.items() for row in read_test(folder / unit.name, cell.arm, cell.size, cell.seed)
    ]
    home = folder / branch.letter
    pictures, validation = [], validation_dice(branch, findings.runner)
    if rows:
        save_curves(home / CURVES_FILE, plan, rows, branch.sizes, f"Data {branch.letter}")
        pictures = _end_pictures(home, branch, tests, rows, plan)
    expected = sum(1 for _ in branch.network_cells())
    patients = {case["patient"] for case in branch.data.testing}
    return {
        "rows": rows,
        "licence": branch.data.licence,
        "patients_tested": len(patients),
        "cases_tested": len(branch.data.testing),
        "network_tests": {
            "done": sum(cell.arm.startswith(tuple(f"{init}_" for init in TRAINED)) for cell in tests),
            "of": expected,
        },
        "arms": _arm_table(plan, rows, branch.sizes),
        "comparisons": compare_all(plan, rows, branch.sizes) if rows else [],
        "decisions": [
            decide(rule, rows, plan.main_size, plan.resamples, plan.seeds, patients, validation)
            for rule in plan.hypotheses
        ],
        "chosen": {
            cell.name: result["chosen"]
            for cell, unit in tests.items()
            if "chosen" in (result := findings.runner.result(unit))
        },
        "at_the_edge": {
            cell.name: result["at_the_edge"]
            for cell, unit in tests.items()
            if (result := findings.runner.result(unit)).get("at_the_edge")
        },
        "tuning": load_json(home / TUNING_FILE) or {},
        "calibration": load_json(home / CALIBRATION_FILE),
        "pictures": pictures,
        "validation_dice": validation,
    }


def validation_dice(branch: Branch, runner: UnitRunner) -> dict[str, float]:
    """Best validation Dice of every network arm at the main size, mean of its seeds; not of arms that lack one."""
    try:
        chosen = chosen_settings(branch)
    except FileNotFoundError:
        return {}
    found: dict[str, list] = {}
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
    shown = pictured_cases([row for row in rows if row["arm"] in arms and row["size"] == plan.main_size])
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
    cost = measured_cost(results, runner.num_parallel) | {"device": runner.device}
    plan = findings.full_plan
    tested = PATIENTS_TESTED * int(plan.breathing["cycles_per_case"])
    phantom = Branch(
        PHANTOM, plan, placeholder_data(plan, PHANTOM, plan.testing_cases), runner.folder, plan.sizes, plan.recipe
    )
    real = Branch(
        BREATHING,
        plan,
        placeholder_data(plan, BREATHING, tested),
        runner.folder,
        plan.breathing_sizes,
        {**plan.recipe, **plan.breathing_recipe},
    )
    full = {}
    for name, branches in (("A", [phantom]), ("A and B", [phantom, real])):
        size = study_size(plan, branches)
        full[name] = {**size, "hours": projected_hours(size, cost)}
    return cost | {"full_study": full}
