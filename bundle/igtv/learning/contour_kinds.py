"""Which contours the loop learns from and measures on: those over the breathing cycle, as its models are called.

A frozen set of GTV contours would make the gate reward a model for being too small at the target's ends, for good.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from ..data.datalist import Datalist
from ..data.datalist_item import DatalistItem

LEARNED_KIND = "igtv"
WAYS_OUT = "give a datalist of IGTV contours, or correct `label_kind` where it is wrong"

logger = logging.getLogger(__name__)


def of_another_kind(items: Iterable[DatalistItem]) -> list[str]:
    """Names of the labelled cases whose `label_kind` says that their contour is no IGTV.

    Where the datalist does not say the kind, the contour counts as an IGTV.
    """
    return [item.case for item in items if item.label is not None and item.label_kind not in ("", LEARNED_KIND)]


def learned_contours(listing: Datalist) -> tuple[Datalist, dict[str, str]]:
    """A datalist without the cases of its lists `training` and `validation` that hold GTV contours.

    Args:
        listing: as `read_datalist` gives it.

    Returns:
        The datalist that is left; case -> why it was left out, which is warned of too.

    Raises:
        ValueError: no other labelled case is left, or none in a `validation` list that there is.
    """
    others = of_another_kind((*listing.training, *listing.validation))
    if not others:
        return listing, {}
    lists = {
        part: tuple(item for item in getattr(listing, part) if item.case not in others)
        for part in ("training", "validation")
    }
    what = f"{len(others)} labelled case(s) of {listing.path} hold GTV contours (`label_kind`): {', '.join(others)}"
    if not any(item.label is not None for part in lists.values() for item in part):
        raise ValueError(f"{what}; no IGTV contour is left to learn from: {WAYS_OUT}")
    if listing.validation and not any(item.label is not None for item in lists["validation"]):
        raise ValueError(f"{what}; no IGTV contour is left in `validation` to measure on: {WAYS_OUT}")
    logger.warning("left out: %s", what)
    return replace(listing, **lists), dict.fromkeys(others, "its contour is a GTV (`label_kind`), not an IGTV")
