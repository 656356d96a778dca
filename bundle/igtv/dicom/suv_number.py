"""Numbers that SUV depends on, read with the reason why they are needed."""

import math

from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .suv_clock import text


def number(header: Dataset, keyword: str, why: str, least: float | None = None, above: float | None = None) -> float:
    """A finite number that is not below `least` and greater than `above`, where given.

    Raises:
        DicomError: it is missing, no number, or out of these bounds.
    """
    found = text(header, keyword)
    if not found:
        raise missing(header, keyword, why)
    try:
        value = float(found)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DicomError(f"{tag_name(keyword)} is {found}; {why}, it must be a number")
    if least is not None and value < least:
        raise DicomError(f"{tag_name(keyword)} is {found}; {why}, it must not be below {least:g}")
    if above is not None and value <= above:
        raise DicomError(f"{tag_name(keyword)} is {found}; {why}, it must be above {above:g}")
    return value
