"""Which patients to segment: a datalist, a folder of cases, or one CT with its PET."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.case_names import check_case_name
from ..data.datalist import DATALIST_NAME, PARTS, read_datalist
from .dicom_cases import DicomCases

SUFFIXES = (".nii.gz", ".nii")


def find_cases(
    dataset_dir: str | Path | None = None,
    datalist: str | Path | None = None,
    ct_path: str | Path | None = None,
    pet_path: str | Path | None = None,
    section: str | None = None,
    imported: DicomCases | None = None,
) -> list[dict[str, str]]:
    """Find the CT and PET of every case; the first of these that is given decides.

    1. `imported`: the cases of a DICOM folder.
    2. `ct_path` and `pet_path`: one case.
    3. `datalist`: a datalist JSON with paths relative to `dataset_dir` (by default its own folder).
    4. `dataset_dir`: a folder with a `dataset.json`, with one folder `<case>/{ct,pet}.nii[.gz]` per case, or with
       `ct` and `pet` themselves.

    Args:
        dataset_dir: folder of the data.
        datalist: datalist JSON.
        ct_path: CT in HU, NIfTI.
        pet_path: PET in SUVbw (g/ml), NIfTI.
        section: only this list of a datalist ("training", "validation" or "testing"); by default all of them.
        imported: what `import_cases` made of a DICOM folder.

    Returns:
        One dict per case, sorted by name in a folder and in file order in a datalist: `ct` and `pet` (paths), `case`
        (the name of its results folder: `patient_id`, or the folder of its CT), `label` and `ct_kind` where a datalist
        has them.

    Raises:
        FileNotFoundError: when there is no case, or a file of `ct_path` and `pet_path` is missing. A missing PET is
            never made up. Files that a datalist names are looked at case by case later, so that one that is missing
            does not stop the others.
        ValueError: for a wrong section, one without a datalist, a pair that is not NIfTI, or two cases of one name.
    """
    if imported is not None and imported.series:
        _refuse_section(section, "dicom_dir")
        cases = _from_dicom(imported)
    elif ct_path or pet_path:
        _refuse_section(section, "one CT and PET")
        cases = [_pair(ct_path, pet_path)]
    elif datalist:
        cases = _from_datalist(Path(datalist), dataset_dir, section)
    elif dataset_dir:
        cases = _from_folder(Path(dataset_dir), section)
    else:
        raise ValueError("Nothing to segment: give dataset_dir, datalist, dicom_dir, or ct_path and pet_path.")
    _check_names(cases)
    return cases


def _refuse_section(section: str | None, source: str) -> None:
    """Every case would be segmented, though some of them were asked for."""
    if section is not None:
        raise ValueError(
            f"section is '{section}', but {source} has no datalist that it could be a list of: give datalist, or a "
            f"dataset_dir with a {DATALIST_NAME}; or leave section away to segment every case."
        )


def _from_dicom(imported: DicomCases) -> list[dict[str, str]]:
    if not imported.cases:
        reasons = "; ".join(f"{case}: {reason}" for case, reason in imported.left_out.items())
        raise FileNotFoundError(f"No case with CT and PET in dicom_dir. {reasons}")
    return [dict(case) for case in imported.cases]


def _pair(ct_path: str | Path | None, pet_path: str | Path | None) -> dict[str, str]:
    if not ct_path or not pet_path:
        missing, given = ("pet_path", ct_path) if ct_path else ("ct_path", pet_path)
        raise ValueError(f"{missing} is missing for {given}: CT and PET are needed together.")
    case = {"ct": str(ct_path), "pet": str(pet_path), "case": _folder_case(ct_path)}
    _check_files(case)
    return case


def _folder_case(ct_path: str | Path) -> str:
    return Path(ct_path).absolute().parent.name


def _from_datalist(datalist: Path, dataset_dir: str | Path | None, section: str | None) -> list[dict[str, str]]:
    if section is not None and section not in PARTS:
        raise ValueError(f"section is '{section}'; a datalist has {', '.join(PARTS)}.")
    content = read_datalist(datalist, dataset_dir)
    items = [item for name in PARTS if section in (None, name) for item in getattr(content, name)]
    if not items:
        raise FileNotFoundError(f"Datalist {datalist} lists no case under '{section}'.")
    return [item.as_case() for item in items]


def _from_folder(folder: Path, section: str | None) -> list[dict[str, str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} is not a folder.")
    if (folder / DATALIST_NAME).is_file():
        return _from_datalist(folder / DATALIST_NAME, folder, section)
    _refuse_section(section, f"dataset_dir {folder}")
    candidates = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")]
    cases, incomplete = [], []
    for candidate in candidates:
        ct, pet = _image(candidate, "ct"), _image(candidate, "pet")
        if ct and pet:
            cases.append({"ct": str(ct), "pet": str(pet), "case": _folder_case(ct)})
        elif ct or pet:
            incomplete.append(f"{candidate.name} (no {'PET' if ct else 'CT'})")
    if incomplete:
        raise FileNotFoundError(
            f"{folder}: CT and PET are needed together, incomplete: {', '.join(incomplete)}. "
            "Add the missing ct.nii.gz or pet.nii.gz, or move these folders away."
        )
    if not cases:
        raise FileNotFoundError(
            f"No case in {folder}: expected <case>/ct.nii.gz with <case>/pet.nii.gz, or a {DATALIST_NAME}."
        )
    return cases


def _image(folder: Path, name: str) -> Path | None:
    return next((folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()), None)


def _check_files(case: Mapping[str, str]) -> None:
    for key in ("ct", "pet"):
        if not Path(case[key]).is_file():
            raise FileNotFoundError(f"Case {case['case']}: {key.upper()} file {case[key]} does not exist.")
        if not case[key].endswith(SUFFIXES):
            raise ValueError(
                f"Case {case['case']}: {case[key]} is not NIfTI ({', '.join(SUFFIXES)}); give DICOM as dicom_dir."
            )


def _check_names(cases: Sequence[Mapping[str, str]]) -> None:
    for case in cases:
        check_case_name(case["case"])
    # names that differ only in case would share a folder on some file systems
    counts = Counter(case["case"].lower() for case in cases)
    twice = sorted({case["case"] for case in cases if counts[case["case"].lower()] > 1})
    if twice:
        raise ValueError(
            f"Case names used more than once: {', '.join(twice)}. Results would overwrite each other; "
            "give each case its own patient_id or folder."
        )
