"""Whether a model has learned from cases that it is to be measured on, as far as its training left a manifest."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..inference.manifest import images_sha256
from ..training.starting_weights import training_manifest_beside

SHOWN = 5

logger = logging.getLogger(__name__)


def note_of_learned_cases(model_path: str | Path, cases: Sequence[Mapping]) -> str:
    """A sentence for the report where the model learned from some of these cases; "" where it did not.

    A warning, not a refusal: how well the training cases themselves are segmented is a fair question too.

    Args:
        model_path: weights, beside which the training's manifest may lie.
        cases: to measure on, with `case`, `ct` and `pet`.
    """
    manifest = training_manifest_beside(model_path)
    if "images_sha256" in manifest:
        learned = set(manifest["images_sha256"].values())
        both = [str(case["case"]) for case in cases if images_sha256(case) in learned]
        note = (
            f"{len(both)} of {len(cases)} cases are among those that the model was trained on (%s): these figures say"
        )
    else:  # of a training before version 0.4.1: names are all it left, and two data sets may share them
        learned = set(manifest.get("cases", {}).get("training", ()))
        both = [str(case["case"]) for case in cases if str(case["case"]) in learned]
        note = (
            f"{len(both)} of {len(cases)} cases have names of cases that the model was trained on (%s): if they are "
            "the same, these figures say"
        )
    if not both:
        return ""
    named = ", ".join(sorted(both)[:SHOWN]) + (", ..." if len(both) > SHOWN else "")
    note = (
        f"{note % named} nothing of new patients. Folds are those of the training only with its datalist, fold, "
        "num_folds, cross_validation and seed."
    )
    logger.warning("%s", note)
    return note
