"""The last look at a de-identified data set: does a text of it still name the patient, or a day of the original?"""

import re
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ..errors import DicomError
from . import profile
from .dates import day_spelt, days_in

SHORTEST_IDENTIFIER = 4  # characters; shorter ones are found everywhere by chance
_TEXT_VR = ("LO", "SH", "ST", "LT", "UT", "UC", "PN")  # written by a person or a scanner's user interface
_CODES = ("CodeValue", "LongCodeValue", "CodingSchemeVersion")
_MAKERS = ("Manufacturer", "ManufacturerModelName")
_MADE_HERE = ("DeidentificationMethod", "PatientID", "PatientName")
_WORD = re.compile(r"[^\W_]+")


def refuse_leaks(dataset: Dataset, result: Dataset) -> None:
    """Raise where an identifier or a date of the original stands in any text that is left.

    A date in clear beside the same one moved would give away the patient's shift, and with it all dates.

    Args:
        dataset: the original.
        result: what is left of it.

    Raises:
        DicomError: with the attribute that holds it, never with what it holds.
    """
    wanted, days = _identifiers(dataset), _days(dataset)
    single = {text for text in wanted if _WORD.fullmatch(text)}
    for keyword, vr, text in _texts(result):
        if vr != "CS" and keyword not in _MAKERS and _names(text.lower(), single, wanted - single):
            raise DicomError(f"{keyword} names the patient, a physician or the institution; empty it by hand first")
        day = day_spelt(text, days, six_digits=keyword not in _CODES)
        if day is not None:
            raise DicomError(
                f"{keyword} holds the day of {days[day]}, which may lead back to the patient; empty it by hand first"
            )


def _identifiers(dataset: Dataset) -> set[str]:
    """Names and numbers, in lower case; the parts of a person's name each."""
    wanted = set()
    for keyword in profile.IDENTIFIERS:
        for one in _values(dataset.get(keyword)):
            text = one.lower()
            parts = [text, *re.split(r"[\^=\s]+", text)] if dictionary_VR(keyword) == "PN" else [text]
            wanted.update(part.strip() for part in parts if len(part.strip()) >= SHORTEST_IDENTIFIER)
    return wanted


def _names(text: str, words: set[str], phrases: set[str]) -> bool:
    return bool(words & set(_WORD.findall(text))) or any(phrase in text for phrase in phrases)


def _days(dataset: Dataset) -> dict[date, str]:
    """Every day that a date of the data set or of its items names, with the attribute that holds it."""
    found: dict[date, str] = {}
    for keyword, _, value in _elements(dataset, ("DA", "DT")):
        for day in days_in(_values(value)):
            found.setdefault(day, keyword)
    return found


def _texts(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Keyword, VR and value of every text that was taken over from the original."""
    for keyword, vr, value in _elements(dataset, (*_TEXT_VR, "CS")):
        if keyword not in _MADE_HERE:
            yield keyword, vr, " | ".join(_values(value))


def _elements(dataset: Dataset, kinds: Collection[str]) -> Iterator[tuple[str, str, Any]]:
    """Keyword, VR and value of the attributes of some VRs, at any depth; no others are parsed."""
    for tag in list(dataset.keys()):
        vr = dataset.get_item(tag).VR
        if vr in (None, "UN"):
            vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
        if vr == "SQ":
            for item in dataset[tag].value or ():
                yield from _elements(item, kinds)
        elif vr in kinds:
            yield keyword_for_tag(tag) or str(tag), vr, dataset[tag].value


def _values(value: Any) -> list[str]:
    """One or several values as texts."""
    return [str(one or "") for one in (value if isinstance(value, MultiValue | list | tuple) else [value])]
