"""The one error that unusable DICOM raises."""

from pathlib import Path

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag


class DicomError(ValueError):
    """DICOM that cannot be used: the text says what is wrong, in which file or series, and what to do.

    Files are named without their folder, since folders of a clinic's export often carry the patient's name.
    """


def tag_name(keyword: str) -> str:
    """`PatientWeight` -> `PatientWeight (0010,1030)`, as the DICOM tables print it."""
    tag = Tag(tag_for_keyword(keyword))
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


def missing(header: pydicom.Dataset, keyword: str, why: str, path: Path | None = None) -> DicomError:
    """The error for an attribute that is absent or empty."""
    where = f"{path.name}: " if path is not None else ""
    found = "has no value" if keyword in header else "is missing"
    return DicomError(f"{where}{tag_name(keyword)} {found}; {why}")
