"""Whether a model has learned from cases that it is to be measured on, as far as its training left a manifest."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..training.manifest import MANIFEST_NAME

SHOWN = 5

logger = logging.getLogger(__name__)


def note_of_learned_cases(model_path: str | Path, cases: Sequence[Mapping]) -> str:
    """A sentence for the report where cases bear names of cases that the model learned from; "" where none does.

    Names alone are known, and two data sets may share them: it is a warning, not a refusal.

    Args:
        model_path: weights, beside which the training's manifest may lie.
        cases: to measure on, with `case`.
    """
    path = Path(model_path).parent / MANIFEST_NAME
    try:
        learned = set(json.loads(path.read_text(encoding="utf-8"))["cases"]["training"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    both = sorted(learned & {str(case["case"]) for case in cases})
    if not both:
        return ""
    named = ", ".join(both[:SHOWN]) + (", ..." if len(both) > SHOWN else "")
    note = (
        f"{len(both)} of {len(cases)} cases have names of cases that the model was trained on ({named}): if they are "
        "the same, these figures say nothing of new patients. Folds are those of the training only with its datalist, "
        "fold, num_folds, cross_validation and seed."
    )
    logger.warning("%s", note)
    return note
