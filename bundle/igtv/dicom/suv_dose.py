"""Injected dose and half-life, checked against what is physically possible."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .suv_clock import text
from .suv_number import number

# Below this a dose in Bq would be 10 kBq, which gives no image: the number is in MBq (IBSI).
LARGEST_DOSE_IN_MBQ = 1e4
# A number this small is as likely in mCi (5 to 20 mCi are usual) as in MBq.
SMALLEST_DOSE_IN_MBQ = 20.0
# In Bq: less gives no image of a patient.
SMALLEST_DOSE_BQ = 1e6
# Half-lives in seconds: Decay Data Evaluation Project (www.lnhb.fr/nuclear-data), rounded to 4 digits.
HALF_LIVES_S = {
    "F18": 6586.0,
    "GA68": 4063.0,
    "C11": 1221.0,
    "N13": 597.9,
    "O15": 122.2,
    "RB82": 75.4,
    "CU64": 45720.0,
    "ZR89": 282300.0,
    "I124": 360800.0,
    "SC44": 14540.0,
    "Y90": 230800.0,
}
_ELEMENTS = {
    "FLUORINE": "F",
    "GALLIUM": "GA",
    "CARBON": "C",
    "NITROGEN": "N",
    "OXYGEN": "O",
    "RUBIDIUM": "RB",
    "COPPER": "CU",
    "ZIRCONIUM": "ZR",
    "IODINE": "I",
    "SCANDIUM": "SC",
    "YTTRIUM": "Y",
}
HALF_LIFE_TOLERANCE = 0.02


def radiopharmaceutical(headers: Sequence[Dataset]) -> Dataset:
    """The one item of the radiopharmaceutical information sequence that all slices share.

    Raises:
        DicomError: there is none, there are several, or slices differ.
    """
    shared = None
    for header in headers:
        items = header.get("RadiopharmaceuticalInformationSequence") or ()
        if len(items) == 0:
            raise missing(header, "RadiopharmaceuticalInformationSequence", "dose and injection time are in it")
        if len(items) > 1:
            raise DicomError(
                f"{tag_name('RadiopharmaceuticalInformationSequence')} names {len(items)} injections; one is needed"
            )
        words = (
            "RadionuclideTotalDose",
            "RadionuclideHalfLife",
            "RadiopharmaceuticalStartTime",
            "RadiopharmaceuticalStartDateTime",
        )
        values = [text(items[0], word) for word in words]
        if shared is None:
            shared = values
        for word, one, other in zip(words, shared, values, strict=True):
            if one != other:
                raise DicomError(f"{tag_name(word)} differs between slices ({one or 'none'}, {other or 'none'})")
    return headers[0].RadiopharmaceuticalInformationSequence[0]


def injected_dose_bq(item: Dataset, decisions: list[str]) -> float:
    """Dose in Bq, also when it was typed in as MBq.

    Raises:
        DicomError: it is missing, not positive, or its unit cannot be told.
    """
    value = number(item, "RadionuclideTotalDose", "SUV is activity per injected dose", above=0)
    if value >= LARGEST_DOSE_IN_MBQ:
        if value < SMALLEST_DOSE_BQ:
            raise DicomError(f"{tag_name('RadionuclideTotalDose')} is {value:g}: too little for Bq, too much for MBq")
        decisions.append(f"dose {value / 1e6:.1f} MBq")
        return value
    if value < SMALLEST_DOSE_IN_MBQ:
        raise DicomError(
            f"{tag_name('RadionuclideTotalDose')} is {value:g}: no dose in Bq, and MBq or mCi cannot be told apart"
        )
    decisions.append(f"dose {value:g} is in MBq instead of Bq (less than 10 kBq gives no image), taken so")
    return value * 1e6


def half_life_s(item: Dataset, decisions: list[str]) -> float:
    """Half-life in seconds.

    A nuclide named beside it that lives otherwise is a stale label when the number is another PET nuclide's (the rules
    go by the number); when it is none's, the number is wrong, minutes for instance.

    Raises:
        DicomError: it is missing, not positive, or no nuclide's.
    """
    value = number(item, "RadionuclideHalfLife", "the decay of the tracer cannot be computed", above=0)
    name = nuclide(item)
    fits = [word for word, known in HALF_LIVES_S.items() if abs(value / known - 1) <= HALF_LIFE_TOLERANCE]
    if name and not fits:
        raise DicomError(
            f"{tag_name('RadionuclideHalfLife')} is {value:g} s, but that of {name} is {HALF_LIVES_S[name]:g} s; SUV "
            "is not safe"
        )
    label = f", although the nuclide is labelled {name}" if name and name not in fits else ""
    decisions.append(f"half-life {value:g} s" + (f" ({fits[0]}{label})" if fits else ""))
    return value


def nuclide(item: Dataset) -> str:
    """`^18^Fluorine`, `F-18`, `18F` -> "F18"; "" where none is named or it is not known here."""
    codes = item.get("RadionuclideCodeSequence") or ()
    words = text(codes[0], "CodeMeaning").upper() if len(codes) == 1 else ""
    mass, letters = re.findall(r"\d+", words), re.findall(r"[A-Z]+", words)
    if len(mass) != 1 or len(letters) != 1:
        return ""
    name = _ELEMENTS.get(letters[0], letters[0]) + mass[0]
    return name if name in HALF_LIVES_S else ""
