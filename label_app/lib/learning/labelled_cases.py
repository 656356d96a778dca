"""The annotators' labels as the learning loop takes them, and the patients it never learns from."""

import logging
from pathlib import Path
from typing import Any

from igtv.data.datalist import read_datalist
from igtv.learning.frozen_set import FROZEN_FILE, FrozenSet, choose_patients, make_frozen_set, read_frozen_set

from ..studies.errors import PetMissing, UnknownImage

MINIMUM_FROZEN = 2
SEED = 0

logger = logging.getLogger(__name__)


def labelled_cases(datastore: Any) -> list[dict[str, Any]]:
    """Every case with a final label whose CT and PET can be had.

    Args:
        datastore: of the app.

    Returns:
        Dicts with `case`, `patient`, `ct`, `pet`, `label`, `no_tumour`.
    """
    cases = []
    for entry in datastore.final_labels():
        try:
            images = datastore.case(entry["image"])
        except (PetMissing, UnknownImage, OSError) as problem:  # also a PACS that does not answer
            logger.warning("label of %s left out: %s", entry["image"], problem)
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
    return cases


def open_frozen_set(folder: Path, cases: list[dict[str, Any]], share: float, given: str = "") -> FrozenSet:
    """The frozen validation set; made now where there is none.

    Args:
        folder: where it lies, for good.
        cases: labelled cases, of which a seeded share of the patients is frozen when none is given.
        share: of the patients.
        given: path of a datalist whose labelled cases are to be the set; empty: none.

    Raises:
        ValueError: too few patients are labelled; or an existing set is damaged.
    """
    if (folder / FROZEN_FILE).is_file():
        return read_frozen_set(folder)
    if given:
        chosen, note = _cases_of(Path(given)), f"the labelled cases of {Path(given).name}"
    else:
        patients = choose_patients(cases, share, MINIMUM_FROZEN, SEED)
        chosen = [case for case in cases if case["patient"] in patients and not case["no_tumour"]]
        note = f"{share:.0%} of the patients labelled by then, by chance"
    frozen = make_frozen_set(folder, chosen, note)
    logger.info("frozen validation set made of %s: %s", ", ".join(sorted(frozen.patients)), note)
    return frozen


def _cases_of(datalist: Path) -> list[dict[str, Any]]:
    listing = read_datalist(datalist)
    items = listing.validation or (*listing.training, *listing.testing)
    return [{**item.as_case(), "patient": item.patient} for item in items if item.label is not None]
