"""Whether a label is a GTV or an IGTV: as the ROI's name says, else as the user does."""

import re
from collections.abc import Sequence

from .roi_names import is_igtv, matches, read_aliases

# a GTV in the name counts wherever it stands (MRI_GTV), but not the one of "old IGTV"
_IGTV_WITHIN = re.compile(r"(?<![a-z])i[ _.-]?gtv", re.IGNORECASE)


def any_igtv(names: Sequence[str], options) -> bool:
    """Whether a ROI's name says IGTV; `options`: `aliases` is used."""
    return any(is_igtv(name, options.aliases) for name in names)


def label_kind(names: Sequence[str], options) -> tuple[str, list[str]]:
    """Kind of a label, and words where its name does not say it.

    Args:
        names: of its ROIs.
        options: `aliases`, `roi` and `kind` are used; `kind` counts for a ROI that `roi` names and whose name says
            neither GTV nor IGTV.

    Returns:
        "igtv" or "gtv", and words for the log.
    """
    if any_igtv(names, options):
        return "igtv", []
    if options.roi is None or any(_says_gtv(name, options) for name in names):
        return "gtv", []
    return options.kind, [f"its name says neither GTV nor IGTV: taken as {options.kind.upper()} (--kind)"]


def _says_gtv(name: str, options) -> bool:
    if matches(name, read_aliases(options.aliases).get("gtv", ())):
        return True
    return "gtv" in name.lower() and not _IGTV_WITHIN.search(name)
