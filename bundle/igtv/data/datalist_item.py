"""One entry of a datalist: what it may hold, and what it becomes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..configuration.plain_text import MARKS, reads_as_configuration
from .case_names import check_case_name

PATH_KEYS = ("ct", "pet", "label")
UNKNOWN_CT_KIND = "unknown"
LABEL_KINDS = ("gtv", "igtv")


@dataclass(frozen=True)
class DatalistItem:
    """One case: absolute paths, and what is needed to split by patient.

    Attributes:
        case: name of the case in outputs: its own, `patient_id`, or the folder of the CT; unique in the datalist.
        patient: cases of one patient share it and are never split.
        ct, pet: absolute paths.
        label: absolute path or None.
        ct_kind: how the CT was taken (such as "phase", "average"), free text.
        fold: the item's validation fold, or None.
        ct_series_uid: DICOM series that an import made the CT of; "" where there is none, or it was made of several.
        ct_series_part: the volume of that series, as `Series.part` of `igtv.dicom`, where it holds several.
        no_tumour: the label says that there is no tumour, and is empty; any other empty label is a mistake.
        label_kind: "gtv" (tumour at one moment) or "igtv" (over the breathing cycle); "" where the file does not say.
    """

    case: str
    patient: str
    ct: str
    pet: str
    label: str | None
    ct_kind: str
    fold: int | None
    ct_series_uid: str = ""
    no_tumour: bool = False
    label_kind: str = ""
    ct_series_part: str = ""

    def as_case(self) -> dict[str, str | bool]:
        """The item as transforms take it: `case`, `patient`, `ct`, `pet`, `ct_kind`; where known, `label`,
        `ct_series_uid` and `ct_series_part`.

        `no_tumour` is there, and True, only where the label says so.
        """
        case = {"case": self.case, "patient": self.patient, "ct": self.ct, "pet": self.pet, "ct_kind": self.ct_kind}
        if self.label is not None:
            case["label"] = self.label
        if self.ct_series_uid:
            case["ct_series_uid"] = self.ct_series_uid
        if self.ct_series_part:
            case["ct_series_part"] = self.ct_series_part
        if self.no_tumour:
            case["no_tumour"] = True
        return case


def read_item(
    entry: object, folder: Path, where: str, patient_counts: Mapping[str, int], seen: Counter[str]
) -> DatalistItem:
    """Validate one entry.

    Args:
        entry: as the JSON holds it.
        folder: that relative paths refer to.
        where: file, list and number, for errors.
        patient_counts: entries of each patient in the whole file, which decide whether cases are numbered.
        seen: entries of each patient read so far; the entry is counted.

    Raises:
        ValueError: the entry breaks the format; the text begins with `where`.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {entry!r}: an object with `ct` and `pet` is expected")
    paths = {key: _path(entry, key, folder, where) for key in PATH_KEYS}
    ct_kind = entry.get("ct_kind", UNKNOWN_CT_KIND)
    if not isinstance(ct_kind, str):
        raise ValueError(f"{where}: `ct_kind` is {ct_kind!r}: a text is expected")
    label_kind = entry.get("label_kind", "")
    if label_kind not in ("", *LABEL_KINDS):
        raise ValueError(f"{where}: `label_kind` is {label_kind!r}: one of {', '.join(LABEL_KINDS)} is expected")
    case, patient = _names(entry, Path(paths["ct"]).parent.name, where, patient_counts, seen)
    return DatalistItem(
        case,
        patient,
        **paths,
        ct_kind=ct_kind,
        fold=_fold(entry, where),
        ct_series_uid=_of_ct_series(entry.get("source"), "series_uid"),
        ct_series_part=_of_ct_series(entry.get("source"), "part"),
        no_tumour=_no_tumour(entry, paths["label"], where),
        label_kind=label_kind,
    )


def _path(entry: Mapping, key: str, folder: Path, where: str) -> str | None:
    """Absolute path of an image; None for a label that is not there."""
    value = entry.get(key)
    if value is None and key == "label":
        return None
    if key not in entry:
        raise ValueError(f"{where} has no `{key}` (keys found: {', '.join(entry) or 'none'})")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: `{key}` is {value!r}: the path of a file is expected")
    return str((folder / value).absolute())


def _fold(entry: Mapping, where: str) -> int | None:
    fold = entry.get("fold")
    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
        raise ValueError(f"{where}: `fold` is {fold!r}: a whole number from 0 is expected")
    return fold


def _no_tumour(entry: Mapping, label: str | None, where: str) -> bool:
    no_tumour = entry.get("no_tumour", False)
    if not isinstance(no_tumour, bool) or (no_tumour and label is None):
        raise ValueError(
            f"{where}: `no_tumour` is {no_tumour!r}: true, with an empty `label` on the CT's grid, or false is expected"
        )
    return no_tumour


def _names(
    entry: Mapping, folder_name: str, where: str, patient_counts: Mapping[str, int], seen: Counter[str]
) -> tuple[str, str]:
    """Names of case and patient; cases of a patient with several are numbered, unless they bring their names."""
    patient = entry.get("patient_id")
    if patient is None:
        patient = case = folder_name
    elif not isinstance(patient, str):
        raise ValueError(f'{where}: `patient_id` is {patient!r}: a text is expected, such as "{patient}"')
    else:
        seen[patient] += 1
        case = patient if patient_counts[patient] == 1 else f"{patient}_{seen[patient]}"
    case = entry.get("case", case)
    if not isinstance(case, str):
        raise ValueError(f"{where}: `case` is {case!r}: a text is expected")
    try:
        check_case_name(case)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if reads_as_configuration(case):  # of a case, only the name and absolute paths get into a configuration
        key = "case" if "case" in entry else "patient_id"
        raise ValueError(
            f"{where}: `{key}` {case!r} starts with {case[0]}; {', '.join(MARKS)} begin expressions of a "
            "configuration and a datalist is data: give the case a name of letters, digits, - and _"
        )
    return case, patient


def _of_ct_series(source: object, key: str) -> str:
    """From what the importer notes of a case: {"ct": [{"series_uid": ..., "part": ...}], ...}; part may be missing."""
    series = source.get("ct") if isinstance(source, dict) else None
    if not isinstance(series, list) or len(series) != 1 or not isinstance(series[0], dict):
        return ""
    return str(series[0].get(key) or "")
