"""Contours that our own network drew and nobody took over: what a network drew must not come back as its teacher."""

from pydicom.dataset import Dataset

from .contour_source import MANUFACTURER

# where an object lists its parts, and what of a part is its name, its number and the way it was drawn
_PARTS = {
    "RTSTRUCT": ("StructureSetROISequence", "ROIName", "ROINumber", "ROIGenerationAlgorithm"),
    "SEG": ("SegmentSequence", "SegmentLabel", "SegmentNumber", "SegmentAlgorithmType"),
}


def unapproved_names(header: Dataset) -> list[str]:
    """ROIs or segments that this program's network drew, and that nobody corrected or approved.

    SEMIAUTOMATIC and MANUAL ones were drawn by somebody, an APPROVED object was looked at by a physician: they count.

    Args:
        header: of an RTSTRUCT or SEG.

    Returns:
        Their names, each also with its number, as the readers tell those of one name apart; [] for other objects.
    """
    parts = _PARTS.get(str(header.get("Modality") or ""))
    if parts is None or str(header.get("Manufacturer") or "").strip() != MANUFACTURER:
        return []
    if str(header.get("ApprovalStatus") or "").strip().upper() == "APPROVED":
        return []
    sequence, name, number, algorithm = parts
    found = []
    for item in header.get(sequence) or ():
        if str(item.get(algorithm) or "").strip().upper() == "AUTOMATIC":
            text = str(item.get(name) or "").strip()
            found += [text, f"{text} (number {item.get(number)})"]
    return found
