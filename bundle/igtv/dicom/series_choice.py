"""The user's words for a series ("CTAC", a UID, a folder) turned into the series meant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..configuration.one_text import one_text, without_comma_blanks
from .errors import DicomError
from .series import Series, load_series

# Entry of a per-patient option for everyone whom it does not name.
DEFAULT = "default"


def for_patient(value, patient_id: str, default=None):
    """An option's value for one patient: the option itself, or, of a mapping, the patient's entry.

    Args:
        value: the option; keys of a mapping are compared as text, as a PatientID of digits may come as a number.
        patient_id: PatientID.
        default: value for patients whom a mapping without the entry "default" does not name.
    """
    if not isinstance(value, Mapping):
        return value
    entries = {str(key): entry for key, entry in value.items()}
    return entries.get(patient_id, entries.get(DEFAULT, default))


def choose_series(candidates: Sequence[Series], wanted: str, option: str) -> list[Series]:
    """Candidates that the user's word fits: by series UID, else by whole description, else by a part of it.

    Args:
        candidates: series to choose from.
        wanted: series UID, or a description or a part of one; upper and lower case are the same, and so are commas with
            and without blanks. What a command line made of commas or digits is taken as the text it came from.
        option: name of the option, for the error.

    Raises:
        DicomError: none fits; the text names what there is.
    """
    word = _comparable(one_text(wanted))
    rules = (
        lambda one: one.series_uid.lower() == word,
        lambda one: _comparable(one.description) == word,
        lambda one: word in _comparable(f"{one.description} {one.part}"),
    )
    for rule in rules:
        found = [one for one in candidates if word and rule(one)]
        if found:
            return found
    text = wanted if isinstance(wanted, str) else one_text(wanted)
    hint = "" if isinstance(wanted, str) else f" (to have it taken letter by letter: --{option} \"'{text}'\")"
    raise DicomError(f"--{option} {text!r} fits none of: {listing(candidates)}{hint}")


def _comparable(text: str) -> str:
    return without_comma_blanks(text.strip().lower())


def series_at(path: str | Path, known: Sequence[Series]) -> Series | None:
    """The series of a folder, where `path` is one: the one already found there, else read anew."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    series = load_series(folder)
    return next((one for one in known if one.series_uid == series.series_uid and one.part == series.part), series)


def listing(candidates: Sequence[Series]) -> str:
    """Series in an error text."""
    return "; ".join(one.label for one in candidates) or "no series at all"
