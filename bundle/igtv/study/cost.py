"""What the study costs: measured seconds per step, per case and per unit, and the full study reckoned from them."""

from collections.abc import Mapping, Sequence
from typing import Any

from .branch import Branch
from .data import StudyData
from .plan import StudyPlan


def measured_cost(results: Sequence[Mapping[str, Any]], processes: int) -> dict[str, Any]:
    """Seconds by kind of unit, and the rates that other sizes follow from.

    Args:
        results: contents of `result.json` of all units that were done.
        processes: that ran at a time.

    Returns:
        by_kind: {kind: {"units", "seconds", "seconds_per_unit", "cpu_seconds"}}; seconds_per_step (with validation),
        seconds_around_training (start of the process, reading of its cases), seconds_per_tested_case, seconds_total,
        hours_total (of one process), hours_elapsed (with `processes`), processes.
    """
    kinds: dict[str, list[Mapping]] = {}
    for result in results:
        kinds.setdefault(result["kind"], []).append(result)
    by_kind = {}
    for kind, found in sorted(kinds.items()):
        seconds = sum(result["seconds"] for result in found)
        by_kind[kind] = {
            "units": len(found),
            "seconds": round(seconds, 1),
            "seconds_per_unit": round(seconds / len(found), 1),
            "cpu_seconds": round(sum(result.get("cpu_seconds", 0.0) for result in found), 1),
        }
    trainings = kinds.get("train", [])
    total = sum(entry["seconds"] for entry in by_kind.values())
    return {
        "processes": processes,
        "by_kind": by_kind,
        "seconds_per_step": _rate(trainings, "training_seconds", "steps"),
        "seconds_around_training": _around(trainings),
        "seconds_per_tested_case": _rate(kinds.get("test_network", []), "seconds", "cases"),
        "seconds_total": round(total, 1),
        "hours_total": round(total / 3600, 2),
        "hours_elapsed": round(total / 3600 / processes, 2),
    }


def study_size(plan: StudyPlan, branches: Sequence[Branch]) -> dict[str, int]:
    """Trainings, optimisation steps and tested cases of a whole study, with its calibration.

    Args:
        plan: of the study.
        branches: of its data sets, Data A among them; of their data only the numbers of cases count.
    """
    trainings = steps = tested = 0
    for branch in branches:
        cells = branch.network_cells()
        followed = branch.plan
        units = branch.pretrainings()
        units += [branch.arm(cell, {}) for cell in cells]
        units += [branch.candidate(*candidate) for candidate in branch.candidates()]
        trainings += len(units)
        steps += sum(unit.work["steps"] for unit in units)
        known = branch.data.validation if branch.gtv_saw_the_pool else branch.data.pool
        gtv_models = len(followed.main_architectures) * len(followed.seeds)
        masks = gtv_models * (2 * len(branch.data.testing) + len(known))  # as they are, and pre-trained with breathing
        tested += len(cells) * len(branch.data.testing) + masks
    trainings, steps = trainings + 1, steps + plan.scratch_steps
    tested += 2 * plan.calibration_testing_cases + plan.main_size
    return {"trainings": trainings, "steps": steps, "tested_cases": tested}


def projected_hours(size: Mapping[str, int], cost: Mapping[str, Any]) -> float | None:
    """Hours that a study of this size takes at the measured rates; None before anything was measured.

    Args:
        size: see `study_size`.
        cost: see `measured_cost`; as many processes at a time as it was measured with.
    """
    if not cost["seconds_per_step"] or not cost["seconds_per_tested_case"]:
        return None
    seconds = (
        size["steps"] * cost["seconds_per_step"]
        + size["trainings"] * cost["seconds_around_training"]
        + size["tested_cases"] * cost["seconds_per_tested_case"]
    )
    return round(seconds / 3600 / cost["processes"], 2)


def placeholder_phantom(plan: StudyPlan) -> StudyData:
    """Data A in number only, to reckon with a study that has not been run."""
    return StudyData(
        pretraining=_numbered("pretraining", plan.pretraining_cases),
        pretraining_validation=[],
        pool=_numbered("pool", plan.pool_cases),
        validation=_numbered("validation", plan.validation_cases),
        testing=_numbered("testing", plan.testing_cases),
    )


def placeholder_patients(plan: StudyPlan, patients: int, tested: int) -> list[StudyData]:
    """The folds of Data B in number only.

    Args:
        plan: of that study.
        patients: with a GTV; as many more are reckoned with as the plan needs to label.
        tested: of them, with each fold (in a cross-validation all are tested in the end).
    """
    left = patients - tested - plan.breathing_validation_patients
    pool = _numbered("pool", max(left, *plan.breathing_sizes))
    fold = StudyData(
        pretraining=pool,  # the static contours of the same patients
        pretraining_validation=[],
        pool=pool,
        validation=_numbered("validation", plan.breathing_validation_patients),
        testing=_numbered("testing", tested * int(plan.breathing["cycles_per_case"])),
    )
    return [fold] * (plan.breathing_folds or 1)


def _numbered(part: str, count: int) -> list[dict[str, str]]:
    return [{"case": f"{part}{number}", "patient": f"{part}{number}"} for number in range(count)]


def _rate(results: Sequence[Mapping[str, Any]], seconds: str, per: str) -> float | None:
    amount = sum(result[per] for result in results)
    return round(sum(result[seconds] for result in results) / amount, 3) if amount else None


def _around(trainings: Sequence[Mapping[str, Any]]) -> float:
    """Mean of what a training took beside its epochs; one that was resumed counts with its last process alone."""
    spent = [max(0.0, result["seconds"] - result["training_seconds"]) for result in trainings]
    return round(sum(spent) / len(spent), 1) if spent else 0.0
