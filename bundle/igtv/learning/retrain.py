"""One cycle of learning: new labels in, a measured candidate out, current only if it is not worse."""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..data.checks import find_problem
from .candidate import conclude, describe, evaluation_settings, frozen_metrics, keep_evaluation, known_evaluation
from .cycle import LOG_FILE, CycleFailed, CycleStopped, cycle_folder, work_here, work_in_child
from .frozen_set import FrozenSet
from .gate import GateRule
from .model_version import MODEL_FILE, ModelVersion
from .progress import DONE, FAILED, STOPPED, ProgressFile, TrainingWatch
from .registry import AnotherCurrent, ModelRegistry
from .replay import PRETRAINING, LearningData, choose_cases, split_checked
from .work import CASE_KEYS, CONFIGS_DIR, DATA_KEYS

PRETRAINED, CURRENT = "pretrained", "current"
KEPT_OF_TRAINING = ("training_log.csv", "learning_curve.png", "run_manifest.json")

logger = logging.getLogger(__name__)


class NothingNew(ValueError):
    """There is no label that the current model has not learned from."""


@dataclass(frozen=True)
class CycleSettings:
    """How a cycle learns and decides.

    Attributes:
        start_from: "pretrained": every candidate starts from the first version and learns from all its cases;
            "current": it goes on from the current model.
        replay_cases: earlier cases to learn from again; None: all.
        pretraining_cases: cases of the pre-training to mix in.
        rule: of the gate.
        finetuning: any keys of `train.json` and `finetune.json`, such as {"epochs": 10}.
        seed: of all choices; every cycle adds the number of versions to it.
        own_process: train in a child process.
        only_with_new: refuse to start without a new label.
    """

    start_from: str = PRETRAINED
    replay_cases: int | None = None
    pretraining_cases: int = 0
    rule: GateRule = field(default_factory=GateRule)
    finetuning: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    own_process: bool = True
    only_with_new: bool = True

    def __post_init__(self) -> None:
        if self.start_from not in (PRETRAINED, CURRENT):
            raise ValueError(f"start_from='{self.start_from}': choose '{PRETRAINED}' or '{CURRENT}'")


def run_cycle(
    registry: ModelRegistry,
    labelled: Sequence[Mapping[str, Any]],
    frozen: FrozenSet,
    work_dir: str | Path,
    settings: CycleSettings | None = None,
    pretraining: Sequence[Mapping[str, Any]] = (),
    progress: ProgressFile | None = None,
    stop: threading.Event | None = None,
    user: str = "",
    left_out: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Learn from labels, measure on the frozen set, accept or refuse.

    Args:
        registry: of the model that learns; holds a current version.
        labelled: `case`, `patient`, `ct`, `pet`, `label` of every final label; which are new is found out here.
        frozen: patients that no training sees.
        work_dir: folder for the cycle's files, which go with it; one cycle at a time.
        settings: how to learn and decide.
        pretraining: labelled cases of the pre-training, for `pretraining_cases`.
        progress: file that says where the cycle stands.
        stop: set it to end the cycle.
        user: who asked for it.
        left_out: labelled cases that are not in `labelled` -> why, for the manifest.

    Returns:
        The new version, accepted or refused, with the gate's report in `decision`.

    Raises:
        NothingNew: there is nothing to learn.
        CycleStopped, CycleFailed: stopped, or ended by an error; the current model is what it was.
        CycleUnderWay: another cycle is under way.
    """
    settings, progress = settings or CycleSettings(), progress or ProgressFile(None)
    pretrained = registry.version(1)
    with cycle_folder(Path(work_dir)) as folder, _told(progress):
        started = time.monotonic()
        registry.finish_acceptance()
        current, versions = registry.current(), registry.versions()
        seed = settings.seed + len(versions)
        data = _checked(
            choose_cases(
                labelled,
                frozen,
                versions,
                current,
                settings.replay_cases,
                pretraining,
                settings.pretraining_cases,
                seed,
            )
        )
        _refuse_nothing(data, settings)
        start = pretrained if settings.start_from == PRETRAINED else current
        learning, checked = split_checked(data.cases, seed)
        data = _without_idle(data, [*learning, *checked])
        progress.update(cases=len(data.cases), new_cases=len(data.new))
        plan = _plan(registry, folder, start, current, frozen, learning, checked, settings, seed)
        stop = stop or threading.Event()
        _work(plan, folder, settings, progress, stop)
        if stop.is_set():
            raise CycleStopped("the training was stopped; the current model is unchanged")
        progress.update(phase="deciding")
        manifest = {
            "start": {"from": settings.start_from, "version": start.label, "sha256": start.sha256},
            "data": [_entry(case) for case in learning],
            "checked_on": [_entry(case) for case in checked],
            "left_out": {**(left_out or {}), **data.left_out},
            "settings": {**asdict(settings), "seed": seed},
            "seconds": round(time.monotonic() - started, 1),
        }
        try:
            version = _decide(registry, current, frozen, folder, manifest, pretrained, settings, user)
        except AnotherCurrent as change:
            raise CycleFailed(str(change)) from change
        progress.update(state=DONE, phase="done", **_outcome(version))
        logger.info("%s %s: %s", version.label, version.status, "; ".join(version.decision["reasons"]))
        return version


class _told:
    """Says in the progress file how a cycle ended, when it did not end well."""

    def __init__(self, progress: ProgressFile) -> None:
        self.progress = progress

    def __enter__(self) -> None:
        self.progress.start(phase="collecting")

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, CycleStopped):
            self.progress.update(state=STOPPED, message=str(error))
        elif error is not None:
            self.progress.update(state=FAILED, message=str(error) or kind.__name__)


def _checked(data: LearningData) -> LearningData:
    """Without the cases that the checks before training would refuse."""
    good, left_out = [], dict(data.left_out)
    for case in data.cases:
        problem = find_problem(case)
        if problem is None:
            good.append(case)
        else:
            left_out[case["case"]] = problem
            logger.warning("case left out: %s: %s", case["case"], problem)
    return LearningData(good, left_out)


def _without_idle(data: LearningData, used: Sequence[Mapping[str, Any]]) -> LearningData:
    """Without the negatives of patients who only choose the best epoch; they are new to the next cycle as to this."""
    idle = {case["case"] for case in data.cases} - {case["case"] for case in used}
    reasons = dict.fromkeys(sorted(idle), "no tumour, and another case of its patient only chooses the best epoch")
    return LearningData([case for case in data.cases if case["case"] not in idle], {**data.left_out, **reasons})


def _refuse_nothing(data: LearningData, settings: CycleSettings) -> None:
    if (data.new or not settings.only_with_new) and any(not case.get("no_tumour") for case in data.cases):
        return
    if data.cases and all(case.get("no_tumour") for case in data.cases):
        raise NothingNew(
            f"all {len(data.cases)} labels to learn from say that there is no tumour: label a case with one first"
        )
    reasons = "; ".join(f"{case}: {reason}" for case, reason in list(data.left_out.items())[:5])
    raise NothingNew(f"no new label to learn from{f' ({reasons})' if reasons else ''}: label a case first")


def _plan(registry, folder, start, current, frozen, learning, checked, settings, seed) -> dict[str, Any]:
    """What `work.do_work` is to do."""
    staging = folder / "staging"
    keys = (*CASE_KEYS, "patient")  # the patient for the look at the frozen set; the config never gets it
    finetuning = {
        "num_pictures": 0,
        "use_tensorboard": False,
        "seed": seed,
        **settings.finetuning,
        "task": "igtv",
        "trained_on": "labelled patients",
        "model_path": str(start.model_path),
        "output_dir": str(staging),
        **{
            name: [{key: case[key] for key in keys if key in case} for case in part]
            for name, part in zip(DATA_KEYS, (learning, checked), strict=True)
        },
    }
    evaluations = _evaluations(registry, folder, staging / MODEL_FILE, current, frozen, settings.finetuning)
    return {"frozen": str(frozen.folder), "finetuning": finetuning, "evaluations": evaluations}


def _evaluations(registry, folder, model_path, current, frozen, finetuning) -> list[dict[str, Any]]:
    """The current model's evaluation where it is not known yet, then the candidate's beside it."""
    known = known_evaluation(registry, current, frozen, finetuning)
    compare = known or folder / "current"
    candidate = evaluation_settings(model_path, frozen, folder / "candidate", finetuning, compare)
    if known is not None:
        return [candidate]
    return [evaluation_settings(current.model_path, frozen, folder / "current", finetuning, None), candidate]


def _work(
    plan: Mapping[str, Any], folder: Path, settings: CycleSettings, progress: ProgressFile, stop: threading.Event
) -> None:
    if settings.own_process:
        work_in_child(plan, folder, progress, TrainingWatch(folder / "staging", _epochs(settings)), stop)
    else:
        work_here(plan, progress)


def _epochs(settings: CycleSettings) -> int:
    default = json.loads((CONFIGS_DIR / "finetune.json").read_text(encoding="utf-8"))["epochs"]
    return int(settings.finetuning.get("epochs", default))


def _current_evaluation(
    registry: ModelRegistry, current: ModelVersion, frozen: FrozenSet, finetuning: Mapping[str, Any], folder: Path
) -> Path:
    known = known_evaluation(registry, current, frozen, finetuning)
    if known is None:
        return keep_evaluation(registry, current, frozen, finetuning, folder / "current")
    if not current.metrics:  # the process that kept the evaluation ended before it had set them
        registry.set_metrics(current, frozen_metrics(known, frozen, finetuning))
    return known


def _decide(registry, current, frozen, folder, manifest, pretrained, settings, user) -> ModelVersion:
    model_path = folder / "staging" / MODEL_FILE
    if not model_path.is_file():
        raise CycleFailed("the training left no weights; the current model is unchanged")
    registry.refuse_another_current(current.number)
    patients = _learned_patients(registry, manifest, current)
    metrics = frozen_metrics(folder / "candidate", frozen, settings.finetuning)
    describe(model_path, pretrained.card, len(patients), metrics)
    return conclude(
        registry,
        current,
        _current_evaluation(registry, current, frozen, settings.finetuning, folder),
        model_path,
        folder / "candidate",
        frozen,
        settings.rule,
        manifest,
        [*(folder / "staging" / name for name in KEPT_OF_TRAINING), folder / LOG_FILE],
        user,
    )


def _learned_patients(registry: ModelRegistry, manifest: Mapping[str, Any], current: ModelVersion) -> set[str]:
    """Patients whose labels are in a candidate's weights: its own, and those of the versions that it goes on from.

    Cases of the pre-training are none of them.
    """
    learned, version = list(manifest["data"]), current
    goes_on = manifest["start"]["from"] == CURRENT
    while goes_on:
        learned += version.data
        goes_on = version.manifest.get("start", {}).get("from") == CURRENT
        version = registry.version(version.manifest["parent"]) if goes_on else version
    return {entry["patient"] for entry in learned if entry.get("role") != PRETRAINING}


def _entry(case: Mapping[str, Any]) -> dict[str, Any]:
    return {key: case[key] for key in ("case", "patient", "role", "label_sha256", "no_tumour") if key in case}


def _outcome(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "accepted": version.decision["accepted"],
        "reasons": version.decision["reasons"],
        "dice": version.decision["dice"],
    }
