"""The annotators' labels as the learning loop takes them, and the patients it never learns from."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igtv.data.checks import find_problem
from igtv.data.datalist import read_datalist
from igtv.learning.contour_kinds import of_another_kind
from igtv.learning.cycle import CycleStopped
from igtv.learning.frozen_set import FROZEN_FILE, FrozenSet, choose_patients, make_frozen_set, read_frozen_set

from ..studies.errors import UnknownImage
from ..studies.pacs import PacsError

MINIMUM_FROZEN = 2
SEED = 0

logger = logging.getLogger(__name__)


def labelled_cases(datastore: Any, stop: threading.Event) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """Every case with a final label whose CT and PET can be had; the studies are looked for anew first.

    Args:
        datastore: of the app.
        stop: set it to end between two cases: a slow PACS takes long for each.

    Returns:
        Dicts with `case`, `patient`, `ct`, `pet`, `label`, `no_tumour`; case -> reason of those left out; and which of
        these only because the PACS, or the disk, did not give their images, or not yet tell which PET is theirs.

    Raises:
        CycleStopped: `stop` was set.
    """
    try:
        datastore.refresh()
    except (PacsError, OSError) as problem:  # what is known may do; what is missing is unreachable, below
        logger.warning("the studies could not be looked for before the training: %s", problem)
    unreachable = list(datastore.undecided_labels())
    left_out = dict.fromkeys(unreachable, "the PACS has not told yet which PET belongs to it")
    for case, reason in left_out.items():
        logger.warning("label of %s left out: %s", case, reason)
    cases: list[dict[str, Any]] = []
    for entry in datastore.final_labels():
        if stop.is_set():
            raise CycleStopped("the training was stopped while it collected the labels; the current model is unchanged")
        try:
            images = datastore.case(entry["image"])
        except (ValueError, OSError, UnknownImage) as problem:  # one such case must not end every training
            logger.warning("label of %s left out: %s", entry["image"], problem)
            left_out[entry["image"]] = str(problem)
            if isinstance(problem, (PacsError, OSError)):
                unreachable.append(entry["image"])
            continue
        cases.append(
            {
                "case": entry["image"],
                "patient": entry.get("patient_id") or images.get("patient_id") or entry["image"],
                "ct": images["ct"],
                "pet": images["pet"],
                "label": entry["label"],
                "no_tumour": bool(entry.get("no_tumour")),
            }
        )
    return cases, left_out, unreachable


def open_frozen_set(
    folder: Path, cases: list[dict[str, Any]], share: float, given: str = "", unreachable: Sequence[str] = ()
) -> FrozenSet:
    """The frozen validation set; made now where there is none.

    Args:
        folder: where it lies, for good.
        cases: labelled cases, of which a seeded share of the patients is frozen when none is given.
        share: of the patients.
        given: path of a datalist whose labelled cases are to be the set; empty: none.
        unreachable: labelled cases that should be among `cases`: a set that is made once waits for them.

    Raises:
        ValueError: too few patients are labelled, or labelled cases are missing; a given case cannot be measured; an
            existing set is damaged, or is not the given one.
    """
    if (folder / FROZEN_FILE).is_file():
        frozen = read_frozen_set(folder)
        _refuse_another(frozen, given)
        return frozen
    if given:
        chosen, note = given_cases(Path(given)), f"the labelled cases of {Path(given).name}"
        _refuse_unusable(chosen, Path(given))
    elif unreachable:
        raise ValueError(
            f"the frozen validation set is made once, and images of {len(unreachable)} labelled case(s) cannot be had "
            f"now ({', '.join(unreachable[:5])}): train when they can be, or give a frozen set of your own"
        )
    else:
        usable = _usable(cases)
        patients = choose_patients(usable, share, MINIMUM_FROZEN, SEED)
        chosen = [case for case in usable if case["patient"] in patients and not case["no_tumour"]]
        note = f"{share:.0%} of the patients labelled by then, by chance"
    frozen = make_frozen_set(folder, chosen, note)
    logger.info("frozen validation set made of %s: %s", ", ".join(sorted(frozen.patients)), note)
    return frozen


def _usable(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases that can be measured: one that cannot would stop every later training, as the set never changes."""
    problems = _problems(cases)
    for case, problem in problems.items():
        logger.warning("not for the frozen validation set: %s: %s", case, problem)
    return [case for case in cases if case["case"] not in problems]


def _refuse_unusable(cases: list[dict[str, Any]], given: Path) -> None:
    problems = _problems(cases)
    if problems:
        reasons = "; ".join(f"{case}: {problem}" for case, problem in list(problems.items())[:5])
        raise ValueError(
            f"{len(problems)} of {len(cases)} cases of the frozen set {given.name} cannot be measured: {reasons}"
        )


def _problems(cases: list[dict[str, Any]]) -> dict[str, str]:
    """Case -> why it cannot be measured, of those that cannot."""
    return {case["case"]: problem for case in cases if (problem := find_problem(case))}


def under_frozen_names(cases: list[dict[str, Any]], frozen: FrozenSet) -> list[dict[str, Any]]:
    """The cases, with frozen patients under the ids that they were frozen with, should these have been corrected since.

    Args:
        cases: labelled cases.
        frozen: the set; it never changes.
    """
    frozen_as = {entry["case"]: entry["patient"] for entry in frozen.entries}
    known = {case["patient"]: frozen_as[case["case"]] for case in cases if case["case"] in frozen_as}
    return [case | {"patient": known.get(case["patient"], case["patient"])} for case in cases]


def _refuse_another(frozen: FrozenSet, given: str) -> None:
    """A frozen set that the user gives after one was made would be believed to be in use."""
    if not given:
        return
    wanted = {(case["case"], case["patient"]) for case in given_cases(Path(given))}
    there = {(entry["case"], entry["patient"]) for entry in frozen.entries}
    if wanted != there:
        other = ", ".join(sorted({case for case, _ in wanted ^ there})[:5])
        raise ValueError(
            f"the frozen validation set that is there is not that of {Path(given).name} (they differ in {other}): "
            "it is made once and every version was measured on it; leave the option frozen_set out, or use another "
            "data folder"
        )


def given_cases(datalist: Path) -> list[dict[str, Any]]:
    """The labelled cases of a datalist that a user gives as frozen set: its `validation` list, else all of it.

    Raises:
        ValueError, FileNotFoundError: it is no datalist, or holds GTV contours.
    """
    listing = read_datalist(datalist)
    items = listing.validation or (*listing.training, *listing.testing)
    gtv = of_another_kind(items)
    if gtv:
        raise ValueError(
            f"{len(gtv)} of {len(items)} cases of the frozen set {datalist.name} hold GTV contours (`label_kind`): "
            f"{', '.join(gtv[:5])}. The model learns IGTV contours and is measured on those: take them out, or correct "
            "`label_kind` where it is wrong"
        )
    return [{**item.as_case(), "patient": item.patient} for item in items if item.label is not None]
