"""What an RTSTRUCT or SEG says of each of its contours, by its header alone."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

AUTOMATIC = "AUTOMATIC"  # drawn by a program, and corrected by nobody

# where an object lists its parts, and what of a part is its name, its number and the way it was drawn
_PARTS = {
    "RTSTRUCT": ("StructureSetROISequence", "ROIName", "ROINumber", "ROIGenerationAlgorithm"),
    "SEG": ("SegmentSequence", "SegmentLabel", "SegmentNumber", "SegmentAlgorithmType"),
}


@dataclass(frozen=True)
class ContourPart:
    """A ROI of an RTSTRUCT or a segment of a SEG.

    Attributes:
        name: as it stands there.
        number: as it stands there, as text.
        algorithm: in upper case, such as "AUTOMATIC"; "" where nothing is said.
    """

    name: str
    number: str
    algorithm: str


def contour_parts(header: Dataset) -> list[ContourPart]:
    """ROIs or segments in the order of the object; [] for objects of another modality."""
    keywords = _PARTS.get(str(header.get("Modality") or ""))
    if keywords is None:
        return []
    sequence, name, number, algorithm = keywords
    return [
        ContourPart(str(item.get(name) or ""), str(item.get(number)), str(item.get(algorithm) or "").strip().upper())
        for item in header.get(sequence) or ()
    ]
