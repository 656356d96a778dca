"""From the settings of a verb to checked cases: the phantom made where it is asked for, folds, bad cases out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..phantom.dataset import ensure_phantom_dataset
from .checks import check_cases
from .datalist import PARTS, Datalist, datalist_path, read_datalist, split_cases

logger = logging.getLogger(__name__)


def prepare_cases(
    dataset_dir: str | Path,
    datalist: str | Path | None,
    fold: int,
    num_folds: int = 5,
    cross_validation: bool = False,
    seed: int = 0,
    skip_bad_cases: bool = False,
    phantom: Mapping | None = None,
    task: str | None = None,
    checked_parts: Sequence[str] = ("training", "validation"),
    breathing_probability: float = 0.0,
) -> dict[str, list]:
    """Cases of the three parts, checked before anything expensive starts.

    Args:
        dataset_dir: folder that the datalist's paths start from.
        datalist: datalist JSON; None: `dataset.json` in `dataset_dir`.
        fold: fold that validates.
        num_folds: folds to make where the datalist has neither folds nor a validation list, or `cross_validation`
            asks for them.
        cross_validation: pool the given training and validation lists and fold them by patient.
        seed: seed of folds made here.
        skip_bad_cases: leave unusable cases out, with a log line each, instead of refusing to start.
        phantom: settings of the built-in phantom, which is made when `dataset_dir` and `datalist` are the phantom's
            own (its key "dataset_dir"); any other folder must exist.
        task: of the model that is trained, "gtv" or "igtv", to be checked against the datalist's `label_kind`;
            None: nothing is trained.
        checked_parts: parts whose files are read and checked: those that the verb trains, validates or measures on, so
            that a case without label cannot be used there. A damaged file elsewhere is nothing to it, and reading it
            takes time.
        breathing_probability: how often training samples breathe; more than 0 needs GTV contours.

    Returns:
        {"training": [...], "validation": [...], "testing": [...], "left_out": [...]}; cases have the keys
        of `DatalistItem.as_case`, and "left_out" holds the bad ones of the checked parts (`checks.BadCase`).

    Raises:
        FileNotFoundError, ValueError: a missing datalist or file, or bad cases, each named; IGTV contours, where a GTV
            model is to learn from them, or breathing is to be put into them; or GTV contours alone for an IGTV model.
    """
    make_phantom_where_asked(dataset_dir, datalist, phantom)
    listing = read_datalist(datalist, dataset_dir)
    if task == "gtv":
        _refuse_igtv_contours(listing)
    parts: dict[str, list] = {
        part: split_cases(listing, fold, part, num_folds=num_folds, seed=seed, cross_validation=cross_validation)
        for part in PARTS
    }
    if breathing_probability > 0:
        _refuse_to_move_igtv(listing, parts["training"])
    elif task == "igtv":
        _refuse_gtv_contours_alone(listing, parts["training"])
    left_out = []
    for part in PARTS:
        if part in checked_parts:
            parts[part], bad = check_cases(parts[part], skip_bad_cases=skip_bad_cases)
            left_out += [replace(entry, part=part) for entry in bad]
    if task is not None:
        _warn_of_validation_without_tumour(parts["validation"])
    logger.info("cases: %s", ", ".join(f"{len(parts[part])} {part}" for part in PARTS))
    return {**parts, "left_out": left_out}


def make_phantom_where_asked(dataset_dir: str | Path, datalist: str | Path | None, phantom: Mapping | None) -> None:
    """Make the built-in phantom where folder and datalist are its own; None: there is no phantom to make."""
    if phantom is None:
        return
    home = Path(phantom["dataset_dir"])
    own = datalist_path(None, home).resolve()
    if Path(dataset_dir).resolve() == home.resolve() and datalist_path(datalist, dataset_dir).resolve() == own:
        ensure_phantom_dataset(**phantom)


def _refuse_igtv_contours(listing: Datalist) -> None:
    """Card and ROI of such a model would be called GTV."""
    items = [*listing.training, *listing.validation]
    igtv = [item.case for item in items if item.label_kind == "igtv"]
    if igtv:
        raise ValueError(
            f"task is 'gtv', but {len(igtv)} of {len(items)} cases of {listing.path} hold IGTV contours (`label_kind`; "
            f"the first: {igtv[0]}): give --task igtv, which names the model and its contours"
        )


def _refuse_gtv_contours_alone(listing: Datalist, training: Sequence[Mapping]) -> None:
    """Card and ROI of such a model would be called IGTV, though it never saw one; some GTV contours get a warning."""
    gtv = _cases_of_kind(listing, training, "gtv")
    if not gtv:
        return
    what = (
        f"task is 'igtv', but {len(gtv)} of {len(training)} training cases of {listing.path} hold GTV contours "
        f"(`label_kind`; the first: {gtv[0]})"
    )
    if len(gtv) < len(training):
        logger.warning("%s: at their ends the model learns less than the tumour's motion", what)
        return
    raise ValueError(
        f"{what} and none breathes: the model would be called IGTV without having seen one. Give --task gtv, let the "
        "samples breathe (--breathing_probability 1), or correct `label_kind` in the datalist"
    )


def _warn_of_validation_without_tumour(validation: Sequence[Mapping]) -> None:
    """MONAI's mean Dice over no defined value is 0."""
    if validation and all(case.get("no_tumour") for case in validation):
        logger.warning(
            "none of the %d validation cases has a tumour (`no_tumour`; the first: %s): their Dice is 0 in each epoch, "
            "so that model.pt is the first epoch validated and early stopping ends the training. Choose another fold, "
            "or take model_last.pt and leave early_stopping_patience at 0",
            len(validation),
            validation[0]["case"],
        )


def _refuse_to_move_igtv(listing: Datalist, training: Sequence[Mapping]) -> None:
    """The union over the cycle of what is one already would be learned as the truth."""
    moved = _cases_of_kind(listing, training, "igtv")
    if moved:
        raise ValueError(
            f"breathing_probability is above 0, but {len(moved)} of {len(training)} training cases of {listing.path} "
            f"hold IGTV contours (`label_kind`; the first: {moved[0]}): breathing is put into GTV contours, give 0"
        )


def _cases_of_kind(listing: Datalist, cases: Sequence[Mapping], kind: str) -> list[str]:
    """Names of the cases whose contours the datalist calls `kind`."""
    kind_of = {item.case: item.label_kind for item in listing.training + listing.validation}
    return [case["case"] for case in cases if kind_of.get(case["case"]) == kind]
