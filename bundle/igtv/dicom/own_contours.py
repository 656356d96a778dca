"""Contours that our own network drew and nobody took over: what a network drew must not come back as its teacher."""

from pydicom.dataset import Dataset

from .contour_parts import AUTOMATIC, contour_parts
from .contour_source import MANUFACTURER


def unapproved_names(header: Dataset) -> list[str]:
    """ROIs or segments that this program's network drew, and that nobody corrected or approved.

    SEMIAUTOMATIC and MANUAL ones were drawn by somebody, an APPROVED object was looked at by a physician: they count.

    Args:
        header: of an RTSTRUCT or SEG.

    Returns:
        Their names, each also with its number, as the readers tell those of one name apart; [] for other objects.
    """
    if str(header.get("Manufacturer") or "").strip() != MANUFACTURER:
        return []
    if str(header.get("ApprovalStatus") or "").strip().upper() == "APPROVED":
        return []
    drawn = [part for part in contour_parts(header) if part.algorithm == AUTOMATIC]
    return [text for part in drawn for text in (part.name.strip(), f"{part.name.strip()} (number {part.number})")]
