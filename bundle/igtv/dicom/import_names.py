"""Names of cases: the clinic's own patient ID made fit for a folder, or a short hash of it; never a patient's name."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from .import_case import CaseWork, DamagedFile
from .series import Series

CASE_NAMES = ("patient_id", "hash")
_LONGEST = 60


def plan_cases(
    series: Sequence[Series],
    damaged: Sequence[DamagedFile] = (),
    case_names: str = "patient_id",
    held: Mapping[str, str] | None = None,
) -> list[CaseWork]:
    """One case per patient and PET study; a patient without PET is one case.

    Args:
        series: all series found.
        damaged: files that cannot be used.
        case_names: "patient_id" or "hash".
        held: case -> patient of earlier imports; no other patient gets one of these names.

    Returns:
        Cases, sorted by name; no two have the same. Files without PatientID are one patient per study.
    """
    patients = defaultdict(list)
    for one in series:
        patients[one.patient_id or f"study {one.study_uid}"].append(one)
    names = _unique({(key,): _fit(key) if case_names == "patient_id" else _hash(key, 12) for key in patients})
    planned = {}
    for key, members in patients.items():
        studies = sorted({(_date(one), one.study_uid) for one in members if one.modality == "PT"})
        uids = list(dict.fromkeys(uid for _, uid in studies)) or [""]
        for number, uid in enumerate(uids, start=1):
            planned[key, uid] = names[key,] if len(uids) == 1 else f"{names[key,]}_{number}"
    # the number makes P1_1 of a P1 with two studies: there may be a patient of that name
    foreign = {case for (key, _), case in planned.items() if (held or {}).get(case, names[key,]) != names[key,]}
    cases = [
        _work(case, names[key,], uid, patients[key], damaged) for (key, uid), case in _unique(planned, foreign).items()
    ]
    return sorted(cases, key=lambda one: one.case)


def _work(
    case: str, patient: str, study_uid: str, members: Sequence[Series], damaged: Sequence[DamagedFile]
) -> CaseWork:
    patient_id, own = members[0].patient_id, {one.series_uid for one in members}
    hurt = tuple(
        file for file in damaged if file.series_uid in own or (file.patient_id and file.patient_id == patient_id)
    )
    return CaseWork(case, patient, patient_id, study_uid, tuple(members), hurt)


def _unique(names: Mapping[tuple[str, ...], str], taken: Collection[str] = ()) -> dict[tuple[str, ...], str]:
    """Names unique on file systems that know no upper and lower case: a hash of the key tells those apart that clash.

    Args:
        names: patient, or patient and study -> name.
        taken: names that must not be used.
    """
    count = Counter(name.lower() for name in names.values())
    return {
        key: f"{name}_{_hash(' '.join(key), 6)}" if count[name.lower()] > 1 or name in taken else name
        for key, name in names.items()
    }


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
