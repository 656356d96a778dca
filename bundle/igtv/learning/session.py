"""The verb `retraining`: a cycle of learning from a datalist, without a server."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.datalist import Datalist, read_datalist, split_cases
from ..data.prepare import make_phantom_where_asked
from .contour_kinds import learned_contours
from .frozen_set import FROZEN_FILE, FrozenSet, make_frozen_set, read_frozen_set
from .gate import GateRule
from .model_version import ModelVersion
from .progress import ProgressFile
from .registry import ModelRegistry
from .retrain import CycleSettings, run_cycle

PROGRESS_FILE, FROZEN_DIR, WORK_DIR = "progress.json", "frozen", "work"

logger = logging.getLogger(__name__)


def retrain(
    dataset_dir: str | Path,
    datalist: str | Path | None,
    models_dir: str | Path,
    model_path: str | Path,
    name: str = "igtv",
    fold: int = 0,
    num_folds: int = 5,
    pretraining_datalist: str | Path | None = None,
    phantom: Mapping[str, Any] | None = None,
    margin: float = GateRule.margin,
    max_case_drop: float = GateRule.max_case_drop,
    outweighing_gain: float = GateRule.outweighing_gain,
    seed: int = 0,
    **settings: Any,
) -> ModelVersion:
    """Learn from what is new in a datalist, and let the gate decide.

    The first call makes the frozen validation set of the cases that validate with `fold`; later calls leave its
    patients out, wherever the datalist has them by then.

    Args:
        dataset_dir: folder that the datalist's paths start from.
        datalist: datalist (None: `dataset.json` in that folder); new labels are those that no version has learned
            from, so append to it and call again. GTV contours (`label_kind`) are left out with a warning.
        models_dir: folder of the registry, the frozen set and the progress file.
        model_path: pre-trained weights, where fine-tuning starts; version 1 of a new registry, and no other later.
        name: of the registry.
        fold, num_folds: of the frozen set's choice, see `data.datalist.split_cases`.
        pretraining_datalist: labelled cases of the pre-training, of whatever contours, of which `pretraining_cases`
            are mixed in; the two belong together.
        phantom: settings of the built-in phantom, made where `dataset_dir` and `datalist` are its own.
        margin, max_case_drop, outweighing_gain: rule of the gate.
        seed: of all choices.
        **settings: the other fields of `CycleSettings`.

    Returns:
        The new version, accepted or refused.

    Raises:
        ValueError: nothing new, bad cases, GTV contours alone, settings that do not fit, or a registry that began with
            other weights.
    """
    _refuse_half_of_pretraining(pretraining_datalist, settings.get("pretraining_cases", 0))
    make_phantom_where_asked(dataset_dir, datalist, phantom)
    listing, left_out = learned_contours(read_datalist(datalist, dataset_dir))
    folder = Path(models_dir)
    registry = ModelRegistry(folder, name)
    registry.seed(model_path, "pre-trained, where fine-tuning starts")
    _refuse_another_start(registry, Path(model_path))
    frozen = open_frozen_set(folder / FROZEN_DIR, listing, fold, num_folds, seed)
    _refuse_to_measure_on_gtv(frozen, left_out)
    earlier = labelled_cases(read_datalist(pretraining_datalist)) if pretraining_datalist else []
    version = run_cycle(
        registry,
        labelled_cases(listing),
        frozen,
        folder / WORK_DIR,
        CycleSettings(rule=GateRule(margin, max_case_drop, outweighing_gain), seed=seed, **settings),
        pretraining=earlier,
        progress=ProgressFile(folder / PROGRESS_FILE),
        left_out=left_out,
    )
    logger.info("report: %s", version.report_dir / "report.html")
    return version


def _refuse_half_of_pretraining(datalist: str | Path | None, number: int) -> None:
    """Each does nothing without the other, and would be believed to be at work."""
    if datalist and number < 1:
        raise ValueError(
            f"pretraining_datalist is {datalist}, but pretraining_cases is {number}, which mixes none of it in: give "
            "how many of its cases, or leave pretraining_datalist out"
        )
    if number != 0 and not datalist:
        raise ValueError(
            f"pretraining_cases is {number}, but there is no pretraining_datalist to take them from: give the datalist "
            "of the pre-training, or leave pretraining_cases at 0"
        )


def _refuse_another_start(registry: ModelRegistry, model_path: Path) -> None:
    """Fine-tuning starts from the first version: other weights would be believed to be in use."""
    if not registry.began_with(model_path):
        first = registry.version(1)
        raise ValueError(
            f"model_path {model_path} is not what {registry.folder} began with ('{first.card.get('name')}'): give "
            f"{first.model_path}, or another models_dir"
        )


def _refuse_to_measure_on_gtv(frozen: FrozenSet, left_out: Mapping[str, str]) -> None:
    """A set is made once: one that was made before the datalist said which contours are GTVs may hold some."""
    wrong = [entry["case"] for entry in frozen.entries if entry["case"] in left_out]
    if wrong:
        raise ValueError(
            f"the frozen validation set {frozen.folder} holds {len(wrong)} case(s) of which the datalist says that "
            f"their contour is a GTV (`label_kind`): {', '.join(wrong)}. It never changes: give another models_dir, or "
            "correct `label_kind` where it is wrong"
        )


def labelled_cases(listing: Datalist) -> list[dict[str, str]]:
    """Labelled cases of the lists `training` and `validation`, as `run_cycle` takes them."""
    items = (*listing.training, *listing.validation)
    return [item.as_case() for item in items if item.label is not None]


def open_frozen_set(folder: Path, listing: Datalist, fold: int, num_folds: int, seed: int) -> FrozenSet:
    """The frozen set in a folder; made of a datalist's validation cases where there is none."""
    if (folder / FROZEN_FILE).is_file():
        return read_frozen_set(folder)
    names = {case["case"] for case in split_cases(listing, fold, "validation", num_folds=num_folds, seed=seed)}
    chosen = [case for case in labelled_cases(listing) if case["case"] in names]
    if len(chosen) == len(labelled_cases(listing)):
        raise ValueError(f"fold {fold} of {listing.path} holds every labelled case: nothing is left to learn from")
    return make_frozen_set(folder, chosen, f"validation cases of {listing.path.name}")
