"""Names of cases: the clinic's own patient ID made fit for a folder, or a short hash of it; never a patient's name."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

from .import_case import CaseWork, DamagedFile
from .series import Series

CASE_NAMES = ("patient_id", "hash")
_LONGEST = 60


def plan_cases(
    series: Sequence[Series], damaged: Sequence[DamagedFile] = (), case_names: str = "patient_id"
) -> list[CaseWork]:
    """One case per patient and PET study; a patient without PET is one case.

    Args:
        series: all series found.
        damaged: files that cannot be used.
        case_names: "patient_id" or "hash".

    Returns:
        Cases, sorted by name. Files without PatientID are one patient per study.
    """
    patients = defaultdict(list)
    for one in series:
        patients[one.patient_id or f"study {one.study_uid}"].append(one)
    names = _names(list(patients), case_names)
    cases = []
    for key, members in patients.items():
        studies = sorted({(_date(one), one.study_uid) for one in members if one.modality == "PT"})
        own = {one.series_uid for one in members}
        hurt = tuple(
            file
            for file in damaged
            if file.series_uid in own or (file.patient_id and file.patient_id == members[0].patient_id)
        )
        uids = list(dict.fromkeys(uid for _, uid in studies)) or [""]
        for number, uid in enumerate(uids, start=1):
            case = names[key] if len(uids) == 1 else f"{names[key]}_{number}"
            cases.append(CaseWork(case, names[key], members[0].patient_id, uid, tuple(members), hurt))
    return sorted(cases, key=lambda one: one.case)


def _names(keys: list[str], case_names: str) -> dict[str, str]:
    """Patient -> name, unique on file systems that know no upper and lower case."""
    names = {key: _fit(key) if case_names == "patient_id" else _hash(key, 12) for key in keys}
    lowered = [name.lower() for name in names.values()]
    return {key: name if lowered.count(name.lower()) == 1 else f"{name}_{_hash(key, 6)}" for key, name in names.items()}


def _fit(patient_id: str) -> str:
    """Letters, digits, `-` and `_` of an ID; a hash tells apart what loses others."""
    if patient_id.startswith("study "):
        return f"no_id_{_hash(patient_id, 6)}"
    fit = re.sub(r"[^A-Za-z0-9_-]+", "_", patient_id).strip("_-")[:_LONGEST]
    return fit if fit == patient_id else f"{fit or 'patient'}_{_hash(patient_id, 6)}"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:digits]


def _date(series: Series) -> str:
    return str(series.headers[0].get("StudyDate") or "")
