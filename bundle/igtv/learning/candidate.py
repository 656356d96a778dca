"""From trained weights to a decision: numbers on the frozen set, a version in the registry, the gate's report."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluation.tables import METRICS_FILE, read_rows
from ..networks.model_card import read_model_card, write_model_card
from .durable import flush_file, flush_folder, write_json_durably
from .frozen_set import FrozenSet
from .gate import GateRule, by_patient, judge
from .model_version import ModelVersion, version_name
from .registry import ModelRegistry

EVALUATIONS_DIR, GATE_FILE = "evaluations", "gate.json"
KEPT_FILES = (METRICS_FILE, "summary.json", "compare.json", "report.html")
MASK_KEYS = ("lesions", "test_time_flips")  # other masks with these: only what was measured alike is compared
MASKS_VERSION = 2  # raise when weights and settings give other masks than before: versions are then measured anew
EVALUATION_KEYS = ("device", "scan_backend", *MASK_KEYS)

logger = logging.getLogger(__name__)


def known_evaluation(
    registry: ModelRegistry, version: ModelVersion, frozen: FrozenSet, settings: Mapping[str, Any]
) -> Path | None:
    """Folder of a version's evaluation on this frozen set with these settings; None where it has not been measured.

    A table that a full disk or a loss of power cut off counts as none: the version is then measured anew.

    Args:
        registry: of the version.
        version: that was measured or not.
        frozen: on which.
        settings: of the cycle's fine-tuning; those of `MASK_KEYS` must be the same.
    """
    measured = version.manifest.get("metrics", {})
    alike = all(measured.get(key) == value for key, value in _measured_on(frozen, settings).items())
    if alike and _holds(version.report_dir, frozen):
        return version.report_dir
    folder = _later_evaluation(registry, version, frozen, settings)
    return folder if _holds(folder, frozen) else None


def keep_evaluation(
    registry: ModelRegistry, version: ModelVersion, frozen: FrozenSet, settings: Mapping[str, Any], output_dir: Path
) -> Path:
    """Keep an evaluation of a version that is in the registry already, such as the first; whole or not at all.

    Args:
        registry: of the version.
        version: that was measured.
        frozen: on which.
        settings: as in `known_evaluation`.
        output_dir: of the evaluation.
    """
    folder = _later_evaluation(registry, version, frozen, settings)
    staging = folder.with_name(f".{folder.name}-{os.getpid()}")
    for leftover in folder.parent.glob(f".{folder.name}-*"):  # a process was killed while it kept one
        shutil.rmtree(leftover)
    try:
        keep_reports(output_dir, staging)
        for file in staging.iterdir():
            flush_file(file)
        flush_folder(staging)
        shutil.rmtree(folder, ignore_errors=True)  # whoever calls knows none: what is there was cut off
        os.rename(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    flush_folder(folder.parent)
    registry.set_metrics(version, frozen_metrics(folder, frozen, settings))
    return folder


def dice_of_ancestors(
    registry: ModelRegistry, version: ModelVersion, frozen: FrozenSet, settings: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Dice by patient of the versions that one descends from, by their names, the nearest first.

    Those that were measured on another frozen set, or with other settings of the masks, are left out.

    Args:
        registry: of the version.
        version: whose ancestors are asked for.
        frozen: the set they must have been measured on.
        settings: as in `known_evaluation`.
    """
    found = {}
    for ancestor in registry.ancestors(version):
        folder = known_evaluation(registry, ancestor, frozen, settings)
        if folder is not None:
            dice = frozen_metrics(folder, frozen, settings)["cases"]
            found[version_name(ancestor.number)] = by_patient(dice, frozen.patient_of_case)
    return found


def evaluation_settings(
    model_path: Path, frozen: FrozenSet, output_dir: Path, settings: Mapping[str, Any], compare: Path | None
) -> dict[str, Any]:
    """Overrides of the verb `evaluating` for one model on the frozen set."""
    return {
        **{key: settings[key] for key in EVALUATION_KEYS if key in settings},
        "model_path": str(model_path),
        "dataset_dir": str(frozen.folder),
        "datalist": str(frozen.datalist),
        "output_dir": str(output_dir),
        "threshold_baselines": False,
        "num_workers": 0,
        "compare": None if compare is None else str(compare),
        "note": "frozen validation set: no training has seen these patients",
    }


def frozen_metrics(evaluation_dir: Path, frozen: FrozenSet, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dice by case and the mean per patient, from a folder of an evaluation, with what they were measured on and how.

    Cases without tumour are left out of both; `false_positive_ml` has what was predicted in them.

    Args:
        evaluation_dir: of the verb `evaluating`.
        frozen: the set it measured.
        settings: of the cycle's fine-tuning; those of `MASK_KEYS` are kept as `masks`.
    """
    rows = read_rows(evaluation_dir)
    cases = {row["case"]: row["dice"] for row in rows if row["case"] not in frozen.without_tumour}
    patients = by_patient(cases, frozen.patient_of_case)
    metrics = {"dice": sum(patients.values()) / len(patients), "cases": cases, **_measured_on(frozen, settings)}
    if frozen.without_tumour:
        predicted = {row["case"]: row["volume_prediction_ml"] for row in rows if row["case"] in frozen.without_tumour}
        metrics["false_positive_ml"] = predicted
    return metrics


def with_false_positives(
    report: Mapping[str, Any], current: Mapping[str, float], candidate: Mapping[str, float]
) -> dict[str, Any]:
    """The gate's report with what is predicted in cases without tumour: it is told, and decides nothing.

    Args:
        report: of `gate.judge`.
        current: volume in ml that the current model predicts, by case without tumour.
        candidate: the same of the candidate.
    """
    rows = [{"case": case, "current": current[case], "candidate": candidate[case]} for case in sorted(current)]
    sums = {"current": sum(current.values()), "candidate": sum(candidate.values())}
    text = (
        f"{len(rows)} case(s) without tumour: {sums['candidate']:.1f} ml predicted, {sums['current']:.1f} ml by the "
        "current model (not part of the rule)"
    )
    return {**report, "reasons": [*report["reasons"], text], "false_positive_ml": {**sums, "cases": rows}}


def describe(model_path: Path, start_card: Mapping[str, Any], patients: int, metrics: Mapping[str, Any]) -> None:
    """Name fine-tuned weights for what they have learned from, in their model card."""
    card = read_model_card(model_path)
    before = start_card.get("trained_on") or start_card.get("name", "")
    write_model_card(
        model_path,
        name=f"IGTV model, fine-tuned on {patients} labelled patient{'s' if patients != 1 else ''}",
        task="igtv",
        network=card["network"],
        spacing_mm=card["spacing_mm"],
        hu_window=card["hu_window"],
        suv_range=card["suv_range"],
        num_slices=card.get("num_slices"),
        patch_size=card.get("patch_size"),
        trained_on=f"{patients} patients with IGTV labels; before that: {before}",
        metrics={**card.get("metrics", {}), "frozen_dice": metrics["dice"]},
        licence=start_card.get("licence", ""),
    )


def conclude(
    registry: ModelRegistry,
    current: ModelVersion,
    current_evaluation: Path,
    model_path: Path,
    evaluation_dir: Path,
    frozen: FrozenSet,
    rule: GateRule,
    manifest: Mapping[str, Any],
    further_files: Sequence[Path] = (),
    user: str = "",
) -> ModelVersion:
    """Put measured weights into the registry, ask the gate, accept or refuse.

    Args:
        registry: of the model.
        current: version in use when the cycle began.
        current_evaluation: folder of its evaluation on the frozen set.
        model_path: weights of the candidate, with their card.
        evaluation_dir: folder of the candidate's evaluation; becomes its report.
        frozen: the frozen set of both.
        rule: of the gate.
        manifest: where the candidate comes from; `settings` are those of the cycle.
        further_files: to keep with the report.
        user: who asked for the cycle.

    Returns:
        The version, accepted or refused; its `decision` is the gate's report.

    Raises:
        AnotherCurrent: somebody changed the current version meanwhile; the candidate is kept undecided.
    """
    report_dir = evaluation_dir.parent / "report"
    keep_reports(evaluation_dir, report_dir)
    for file in further_files:
        if file.is_file():
            shutil.copyfile(file, report_dir / file.name)
    finetuning = manifest["settings"]["finetuning"]
    metrics, before = (frozen_metrics(folder, frozen, finetuning) for folder in (evaluation_dir, current_evaluation))
    dice = (by_patient(measured["cases"], frozen.patient_of_case) for measured in (before, metrics))
    report = judge(*dice, rule, dice_of_ancestors(registry, current, frozen, finetuning))
    if frozen.without_tumour:
        report = with_false_positives(report, before["false_positive_ml"], metrics["false_positive_ml"])
    report |= {"current": version_name(current.number), "frozen_sha256": frozen.sha256}
    write_json_durably(report_dir / GATE_FILE, report)
    version = registry.add(
        model_path.parent, {**manifest, "parent": current.number, "frozen_sha256": frozen.sha256}, metrics, report_dir
    )
    if report["accepted"]:
        return registry.accept(version, report, user, expected_current=current.number)
    return registry.refuse(version, report, user)


def keep_reports(source: Path, target: Path) -> None:
    """Copy an evaluation's tables and report, without its masks."""
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _holds(folder: Path, frozen: FrozenSet) -> bool:
    """Whether a folder has an evaluation of exactly the cases of a frozen set."""
    table = folder / METRICS_FILE
    if not table.is_file() or not table.read_bytes().endswith(b"\n"):  # its last number may have been cut off
        return False
    try:
        cases = sorted(row["case"] for row in read_rows(folder))
    except ValueError as error:
        logger.warning("an evaluation is not whole and does not count: %s", error)
        return False
    return cases == sorted(entry["case"] for entry in frozen.entries)


def _measured_on(frozen: FrozenSet, settings: Mapping[str, Any]) -> dict[str, Any]:
    """On what and how a version is measured; Dice compare where both are the same."""
    chosen = {key: settings[key] for key in MASK_KEYS if key in settings}
    return {"frozen_sha256": frozen.sha256, "masks": {"made_by": MASKS_VERSION, **chosen}}


def _later_evaluation(
    registry: ModelRegistry, version: ModelVersion, frozen: FrozenSet, settings: Mapping[str, Any]
) -> Path:
    masks = _measured_on(frozen, settings)["masks"]
    way = hashlib.sha256(json.dumps(masks, sort_keys=True).encode()).hexdigest()
    return registry.folder / EVALUATIONS_DIR / f"{version_name(version.number)}_{frozen.sha256[:12]}_{way[:8]}"
