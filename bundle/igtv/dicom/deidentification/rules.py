"""The profile applied to one data set."""

import re

import pydicom
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ..errors import DicomError
from ..suv_private import GE_SCAN_TIME, PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, SIEMENS_DECAY_TIME
from . import profile
from .descriptions import clean_text
from .identities import Identity
from .leaks import refuse_leaks
from .structure_names import clean_structure_name
from .unused_bits import without_unused_bits

SAFE_PRIVATE = (GE_SCAN_TIME, SIEMENS_DECAY_TIME, PHILIPS_SUV_FACTOR, PHILIPS_ACTIVITY_FACTOR)
PRIVATE_DATES = (GE_SCAN_TIME, SIEMENS_DECAY_TIME)
OLDEST_AGE = 89  # years; older people are few, so that all of them are "090Y" (HIPAA)


def deidentify_dataset(dataset: Dataset, identity: Identity) -> Dataset:
    """A new data set with what the profile keeps.

    Args:
        dataset: read whole; left as it is.
        identity: of the patient.

    Returns:
        The data set in the same transfer syntax, saying by which options it was made.

    Raises:
        DicomError: when the object is of a kind that the profile does not know, has or may have text burned into its
            pixels or an overlay that cannot be cleared, or names its patient or one of its dates where the profile
            keeps text.
    """
    _refuse_unknown(dataset)
    _refuse_burned_in(dataset)
    result = _kept(dataset, identity)
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = "PS3.15 basic profile, keep-list"
    result.DeidentificationMethodCodeSequence = [_method(*code) for code in profile.METHODS]
    result.LongitudinalTemporalInformationModified = "MODIFIED"
    refuse_leaks(dataset, result)
    return result


def _refuse_unknown(dataset: Dataset) -> None:
    kind = str(dataset.get("SOPClassUID", ""))
    if kind not in profile.SOP_CLASSES:
        known = ", ".join(profile.SOP_CLASSES.values())
        name = pydicom.uid.UID(kind).name if kind else "missing"
        raise DicomError(f"its SOP class ({name}) is not one that is de-identified ({known})")


def _refuse_burned_in(dataset: Dataset) -> None:
    """Text within pixels cannot be taken out here."""
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        if str(dataset.get(keyword, "")).strip().upper() == "YES":
            raise DicomError(f"{keyword} is YES: its pixels show who the patient is")
    if "PixelData" not in dataset or dataset.get("Modality") not in ("CT", "PT"):
        return
    kinds = [str(kind).upper() for kind in dataset.get("ImageType") or ()]
    screen = any("SCREEN" in kind or kind in ("DOSE_INFO", "PROTOCOL") for kind in kinds)
    if screen or int(dataset.get("SamplesPerPixel", 1)) != 1 or int(dataset.get("BitsAllocated", 16)) < 12:
        raise DicomError(
            "it is a picture of a screen (image type, colour or 8 bits), which may show the patient's name"
        )


def _kept(dataset: Dataset, identity: Identity) -> Dataset:
    """The attributes that the profile names, changed as it says; items of sequences likewise."""
    result = Dataset()
    result.is_little_endian, result.is_implicit_VR = dataset.is_little_endian, dataset.is_implicit_VR
    for tag in list(dataset.keys()):
        keyword = keyword_for_tag(tag)
        if tag.is_private or not keyword:
            continue
        if keyword in profile.SEQUENCES:
            items = [_kept(item, identity) for item in dataset[tag].value or ()]
            result.add_new(tag, "SQ", items)
        elif keyword in profile.REPLACED:
            result.add_new(tag, dictionary_VR(tag), profile.REPLACED[keyword])
        elif keyword in profile.EMPTIED:
            result.add_new(tag, dictionary_VR(tag), "")
        elif keyword in profile.PSEUDONYM:
            result.add_new(tag, dictionary_VR(tag), identity.pseudonym)
        elif keyword in profile.CLEANED:
            result.add_new(tag, dictionary_VR(tag), _described(dataset, keyword))
        elif keyword in profile.SHIFTED:
            result.add_new(tag, dictionary_VR(tag), _each(dataset[tag].value, identity.date))
        elif keyword == "PatientAge":
            result.PatientAge = _age(str(dataset.PatientAge or ""))
        elif keyword == "TimezoneOffsetFromUTC":
            result.TimezoneOffsetFromUTC = _time_zone(str(dataset.TimezoneOffsetFromUTC or ""))
        elif dictionary_VR(tag) == "UI" and _is_kept(keyword):
            result.add_new(tag, "UI", _each(dataset[tag].value, identity.uid))
        elif keyword == "PixelData":
            result[tag] = without_unused_bits(dataset)
        elif _is_kept(keyword):
            # raw as it was read: long lists of numbers need no parsing
            result[tag] = dataset.get_item(tag)
    if any(tag.is_private for tag in dataset.keys()):  # noqa: SIM118  (values would be parsed)
        for where in SAFE_PRIVATE:
            _keep_private(dataset, result, where, identity)
    return result


def _is_kept(keyword: str) -> bool:
    return any(
        keyword in names for names in (profile.KEPT, profile.TIMES, profile.CHARACTERISTICS, profile.SCANNER_TEXT)
    )


def _each(value, change) -> str | list[str]:
    """One or several values changed."""
    if isinstance(value, MultiValue | list | tuple):
        return [change(str(one)) for one in value]
    return change(str(value or ""))


def _described(dataset: Dataset, keyword: str) -> str:
    text = str(dataset.get(keyword) or "")
    if keyword == "ROIName":
        return clean_structure_name(text, f"ROI {dataset.get('ROINumber', '')}".strip())
    if keyword == "SegmentLabel":
        return clean_structure_name(text, f"segment {dataset.get('SegmentNumber', '')}".strip())
    return clean_text(text)[: 16 if keyword == "ROIObservationLabel" else 64]


def _age(text: str) -> str:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip())
    if match is None:
        return ""
    return "090Y" if match[2] == "Y" and int(match[1]) > OLDEST_AGE else text.strip()


def _time_zone(text: str) -> str:
    return text.strip() if re.fullmatch(r"[-+]\d{4}", text.strip()) else ""


def _keep_private(dataset: Dataset, result: Dataset, where: tuple[int, int, str], identity: Identity) -> None:
    """One private attribute that SUV needs, with the element that names the owner of its block."""
    group, element, owner = where
    for tag in [tag for tag in dataset.keys() if tag.group == group and tag.element & 0xFF == element]:  # noqa: SIM118
        block = tag.element >> 8
        creator = dataset.get((group, block))
        owned = creator is not None and str(creator.value).strip() == owner
        # an earlier de-identification often drops the owner's name; the reader takes such a block for the usual one
        if not (owned or (block == 0x10 and creator is None)):
            continue
        value = dataset[tag].value
        text = value.decode("ascii", "ignore") if isinstance(value, bytes) else str(value)
        text = text.strip(" \0")
        if where in PRIVATE_DATES:
            # a mere time of day stays as it is
            time = re.fullmatch(r"\d{2,6}(\.\d{1,6})?", text) is not None
            text, vr = text if time else identity.date(text), "DT"
        else:
            text, vr = text if re.fullmatch(r"[-+.\deE]{1,16}", text) else "", "DS"
        if text:
            result.add_new((group, block), "LO", owner)
            result.add_new(tag, vr, text)


def _method(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
