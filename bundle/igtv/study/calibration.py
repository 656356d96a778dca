"""Calibration of the phantom's difficulty, with simple arms alone, on cases that no arm is tested on."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import write_json
from .branch import Branch
from .calibration_picture import save_calibration
from .outcome import OUTCOMES, arm_summary, read_test
from .plan import MEASURES, StudyPlan
from .units import Unit, UnitRunner

CALIBRATION_FILE, PICTURE_FILE = "calibration.json", "calibration.png"
logger = logging.getLogger(__name__)


def calibration_architecture(plan: StudyPlan) -> str:
    """The architecture without slice interaction that the calibration trains; what is to be tested takes no part.

    Raises:
        ValueError: there is none.
    """
    for name in (*plan.main_architectures, *plan.architectures):
        content = plan.architectures[name]
        if content.get("overlay") is None and content.get("network", {}).get("sim") == "none":
            return name
    raise ValueError('architectures: the calibration needs one with {"network": {"sim": "none"}}')


def calibrate(branch: Branch, runner: UnitRunner) -> dict[str, Any] | None:
    """Run threshold, GTV model, GTV model plus margin, and training from scratch without slice interaction.

    Returns:
        Content of `calibration.json`, also written beside a picture; None where a unit failed.
    """
    plan, cases = branch.plan, branch.data.calibration
    name, size, seed = calibration_architecture(plan), plan.main_size, plan.tuning["seed"]
    gtv = branch.pretraining(name, plan.seeds[0])
    scratch = branch.calibration_scratch(name, seed)
    known = branch.predict(name, plan.seeds[0], "calibration/gtv_masks/training", cases["training"])
    masks = branch.predict(name, plan.seeds[0], "calibration/gtv_masks/testing", cases["testing"])
    tests = {
        "threshold": branch.test_threshold("calibration/test/threshold", cases["training"], cases["testing"]),
        "zero_shot": branch.test_masks(masks, "calibration/test/zero_shot", cases["testing"]),
        "margin": branch.test_margin(known, masks, "calibration/test/margin", cases["training"], cases["testing"]),
        "seeded_threshold": branch.test_seeded_threshold(
            known, masks, "calibration/test/seeded_threshold", cases["training"], cases["testing"]
        ),
        "scratch": branch.test(scratch, name, "calibration/test/scratch", cases["testing"]),
    }
    runner.run([gtv, scratch], f"calibration {branch.letter}: training")
    runner.run([known, masks], f"calibration {branch.letter}: GTV masks")
    results = runner.run(list(tests.values()), f"calibration {branch.letter}: measuring")
    if None in results:
        return None
    return _conclude(branch, tests, dict(zip(tests, results, strict=True)), runner.folder, name, size, seed)


def _conclude(
    branch: Branch, tests: Mapping[str, Unit], results, folder: Path, name: str, size: int, seed: int
) -> dict[str, Any]:
    plan = branch.plan
    rows = {arm: read_test(folder / unit.name, arm, size, seed) for arm, unit in tests.items()}
    numbers = {
        arm: {metric: arm_summary(found, metric, plan.resamples) for metric in OUTCOMES} for arm, found in rows.items()
    }
    checks = {}
    for measure, arm, metric in MEASURES:
        low, high = plan.expected[measure]
        value = numbers[arm][metric]["mean"]
        checks[measure] = {"value": value, "expected": [low, high], "within": bool(low <= value <= high)}
    content = {
        "architecture": name,
        "labelled": size,
        "tested": len(branch.data.calibration["testing"]),
        "arms": numbers,
        "chosen": {arm: result["chosen"] for arm, result in results.items() if "chosen" in result},
        "checks": checks,
        "within_expected": all(check["within"] for check in checks.values()),
    }
    write_json(folder / branch.letter / CALIBRATION_FILE, content)
    save_calibration(folder / branch.letter / PICTURE_FILE, numbers, checks)
    for measure, check in checks.items():
        log = logger.info if check["within"] else logger.warning
        log("calibration: %s %.3f, expected %s to %s", measure, check["value"], *check["expected"])
    return content
