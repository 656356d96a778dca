"""Names of cases: the clinic's own patient ID made fit for a folder, or a short hash of it; never a patient's name."""

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import count

from .import_case import CaseWork, DamagedFile
from .series import Series

logger = logging.getLogger(__name__)

CASE_NAMES = ("patient_id", "hash")
_LONGEST = 60


def plan_cases(
    series: Sequence[Series],
    damaged: Sequence[DamagedFile] = (),
    case_names: str = "patient_id",
    held: Mapping[str, str] | None = None,
    studies: Mapping[str, str] | None = None,
) -> list[CaseWork]:
    """One case per patient and PET study; a patient without PET is one case.

    A study that an earlier import knows keeps its name, but that P1 becomes P1_1 beside P1_2 where one export holds
    both. A study whose name is held by another one of its patient gets the next free number: exports may come one by
    one, and none may replace an earlier one.

    Args:
        series: all series found.
        damaged: files that cannot be used.
        case_names: "patient_id" or "hash".
        held: case -> patient of earlier imports; no other patient gets one of these names.
        studies: case -> study of its PET, "" where it has none, of earlier imports; the scan of a case that is not in
            it is unknown, and its name free for its patient.

    Returns:
        Cases, sorted by name; no two have the same. Files without PatientID are one patient per study.
    """
    held = held or {}
    patients = defaultdict(list)
    for one in series:
        patients[one.patient_id or f"study {one.study_uid}"].append(one)
    names = _unique({(key,): _fit(key) if case_names == "patient_id" else _hash(key, 12) for key in patients})
    planned = _names_of_studies(
        {key: (names[key,], _pet_studies(patients[key])) for key in patients}, held, studies or {}
    )
    # the number makes P1_1 of a P1 with two studies: there may be a patient of that name
    foreign = {case for (key, _), case in planned.items() if held.get(case, names[key,]) != names[key,]}
    cases = [
        _work(case, names[key,], uid, patients[key], damaged) for (key, uid), case in _unique(planned, foreign).items()
    ]
    return sorted(cases, key=lambda one: one.case)


def _pet_studies(members: Sequence[Series]) -> list[str]:
    """Studies of a patient's PETs in the order of their dates; [""] without PET."""
    dated = sorted({(_date(one), one.study_uid) for one in members if one.modality == "PT"})
    return list(dict.fromkeys(uid for _, uid in dated)) or [""]


def _names_of_studies(
    patients: Mapping[str, tuple[str, Sequence[str]]], held: Mapping[str, str], studies: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """(patient's key, study) -> name; patients: key -> name and studies, `held` and `studies` as for `plan_cases`."""
    # of two names of one scan the longer one is the newer: P1_1 was P1 once
    by_length = sorted(studies, key=lambda case: (len(case), case))
    known = {(held[case], studies[case]): case for case in by_length if case in held}
    planned, displaced = {}, {}
    for key, (name, uids) in patients.items():
        for number, uid in enumerate(uids, start=1):
            usual = name if len(uids) == 1 else f"{name}_{number}"
            mine = known.get((name, uid), name)
            chosen = usual if mine == name else mine
            # a patient whose PET was not there yet is the same case when it comes
            own = (uid, "") if chosen == name else (uid,)
            taken = held.get(chosen) == name and studies.get(chosen, uid) not in own
            (displaced if taken else planned)[key, uid] = chosen
    for (key, uid), usual in displaced.items():
        name = patients[key][0]
        planned[key, uid] = _next_free(name, {*held, *planned.values()})
        logger.warning(
            "case %s: another scan of patient %s than that of case %s, which an earlier import made",
            planned[key, uid], name, usual,
        )  # fmt: skip
    return planned


def _next_free(name: str, used: Collection[str]) -> str:
    """The name with the lowest number from 2 that is not used, upper and lower case being alike."""
    taken = {one.lower() for one in used}
    return next(f"{name}_{number}" for number in count(2) if f"{name}_{number}".lower() not in taken)


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
    times = Counter(name.lower() for name in names.values())
    return {
        key: f"{name}_{_hash(' '.join(key), 6)}" if times[name.lower()] > 1 or name in taken else name
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
