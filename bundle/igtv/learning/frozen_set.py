"""Patients that no training ever sees: on them a candidate must show that it is not worse than the current model.

Made once, with copies of the images and labels, so that neither a corrected label nor an emptied cache changes the
yardstick. A case belongs to it by its patient's id or by the voxels of its CT, PET or label.

A case whose label says that there is no tumour (`no_tumour`) may be in it, beside cases with one. Dice says nothing
there: it is left out of every Dice, and what a model predicts in it, in ml, is reported as false positive.

```
<folder>/frozen_set.json    patients, hashes of files and voxels
<folder>/dataset.json       datalist with the cases in `validation`, for the verb `evaluating`
<folder>/<case>/{ct,pet,label}.nii.gz
```
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.datalist import DATALIST_NAME
from ..files import file_sha256
from .case_identity import IMAGES, patient_of, voxel_hashes
from .durable import flush_folder, now, write_json_durably

FROZEN_FILE = "frozen_set.json"


@dataclass(frozen=True)
class FrozenSet:
    """A frozen validation set.

    Attributes:
        folder: its folder.
        sha256: of what it consists of; two sets are the same exactly when this is.
        entries: one mapping per case: `case`, `patient`, `files` and `voxels` with a SHA-256 per image; `no_tumour`,
            True, where the label says so.
    """

    folder: Path
    sha256: str
    entries: tuple[Mapping[str, Any], ...]

    @property
    def patients(self) -> set[str]:
        """Ids of the patients."""
        return {entry["patient"] for entry in self.entries}

    @property
    def patient_of_case(self) -> dict[str, str]:
        """Case -> id of its patient."""
        return {entry["case"]: entry["patient"] for entry in self.entries}

    @property
    def without_tumour(self) -> set[str]:
        """Names of the cases whose label says that there is no tumour."""
        return {entry["case"] for entry in self.entries if entry.get("no_tumour")}

    @property
    def datalist(self) -> Path:
        """Datalist for the verb `evaluating`."""
        return self.folder / DATALIST_NAME

    def leak(self, case: Mapping[str, Any]) -> str | None:
        """Why training on a case would be training on this set; None when it would not.

        Args:
            case: with `case`, `ct`, `pet`, `label` and, where known, `patient`.
        """
        patient = patient_of(case)
        if patient in self.patients:
            return f"patient {patient} is in the frozen validation set"
        for key, digest in voxel_hashes(case).items():
            for entry in self.entries:
                if digest is not None and digest == entry["voxels"][key]:
                    return f"its {key} is that of {entry['case']} in the frozen validation set, under another name"
        return None

    def refuse_leaks(self, cases: Iterable[Mapping[str, Any]]) -> None:
        """Raise ValueError that names every case of the frozen set among `cases`."""
        leaks = {case["case"]: reason for case in cases if (reason := self.leak(case))}
        if leaks:
            listing = "\n".join(f"  {case}: {reason}" for case, reason in leaks.items())
            raise ValueError(f"nothing was trained: {len(leaks)} case(s) must never be trained on:\n{listing}")


def make_frozen_set(folder: str | Path, cases: Sequence[Mapping[str, Any]], note: str = "") -> FrozenSet:
    """Copy cases into a frozen set; appears whole or not at all.

    Args:
        folder: the set's folder; must not exist, or be empty.
        cases: with `case`, `ct`, `pet`, `label` and, where known, `patient`; an empty label needs `no_tumour`.
        note: how they were chosen.

    Raises:
        FileExistsError: there is a set already; it is made once.
        ValueError: no case with tumour, on which alone Dice says something, or an empty label without `no_tumour`.
    """
    folder = Path(folder)
    if (folder / FROZEN_FILE).exists():
        raise FileExistsError(f"{folder} holds a frozen validation set already: it is made once and never changed")
    if all(case.get("no_tumour") for case in cases):
        raise ValueError("a frozen validation set needs at least one labelled case with tumour, to measure Dice on")
    staging = folder.parent / f".{folder.name}-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        entries = [_copy_case(case, staging) for case in cases]
        listing = [
            {"patient_id": entry["case"], **{key: f"{entry['case']}/{entry['names'][key]}" for key in IMAGES}}
            | ({"no_tumour": True} if entry.get("no_tumour") else {})
            for entry in entries
        ]
        write_json_durably(staging / DATALIST_NAME, {"name": "frozen validation set", "validation": listing})
        write_json_durably(
            staging / FROZEN_FILE, {"created": now(), "note": note, "sha256": _digest(entries), "cases": entries}
        )
        os.replace(staging, folder)  # an empty folder gives way, one with content does not
    except OSError as error:
        raise FileExistsError(f"{folder} cannot become a frozen validation set: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    flush_folder(folder.parent)
    return read_frozen_set(folder)


def frozen_names(folder: str | Path) -> tuple[set[str], set[str]]:
    """Patients and cases of a frozen set by its list alone: quick, for who only wants to know whom to pass over.

    Raises:
        ValueError, FileNotFoundError: see `read_frozen_set`, which also checks every file.
    """
    entries, _ = _read_entries(Path(folder))
    return {entry["patient"] for entry in entries}, {entry["case"] for entry in entries}


def read_frozen_set(folder: str | Path) -> FrozenSet:
    """Read a frozen set and check that nothing in it changed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file is missing or is not the one that was frozen.
    """
    folder = Path(folder)
    entries, digest = _read_entries(folder)
    for entry in entries:
        for key in IMAGES:
            file = folder / entry["case"] / entry["names"][key]
            if not file.is_file() or file_sha256(file) != entry["files"][key]:
                raise ValueError(f"{file} is missing or not the file that was frozen: bring it back from a copy")
    return FrozenSet(folder, digest, tuple(entries))


def _read_entries(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Cases and hash of the list of a frozen set."""
    path = folder / FROZEN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no frozen validation set ({FROZEN_FILE})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries, digest = content["cases"], content["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): bring it back from a copy") from error
    if _digest(entries) != digest:
        raise ValueError(f"{path} was changed after it was made: bring it back from a copy")
    for entry in entries:
        if bool(entry.get("no_tumour")) != (entry["voxels"]["label"] is None):
            raise ValueError(
                f"{path}: whether {entry['case']} has no tumour is not what its label says: bring it back from a copy"
            )
    return entries, digest


def choose_patients(cases: Sequence[Mapping[str, Any]], share: float, minimum: int, seed: int) -> set[str]:
    """Patients to freeze: a seeded share of those with a tumour label, the same whatever the order of the cases.

    Args:
        cases: labelled cases.
        share: of the patients.
        minimum: at least this many.
        seed: of the choice.

    Raises:
        ValueError: not at least as many patients would be left to learn from.
    """
    patients = sorted({patient_of(case) for case in cases if not case.get("no_tumour")})
    number = max(minimum, round(share * len(patients)))
    if len(patients) < 2 * number:
        raise ValueError(
            f"{len(patients)} labelled patient(s) with tumour: a frozen validation set of {number} and as many to "
            f"learn from need {2 * number}; label more, or give a frozen set of your own"
        )
    order = np.random.RandomState(seed).permutation(len(patients))
    return {patients[index] for index in order[:number]}


def _copy_case(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    target = folder / case["case"]
    target.mkdir()
    names = {key: f"{key}.nii.gz" if str(case[key]).endswith(".gz") else f"{key}.nii" for key in IMAGES}
    for key in IMAGES:
        shutil.copyfile(case[key], target / names[key])
    copies = {key: target / names[key] for key in IMAGES}
    voxels = voxel_hashes(copies)
    no_tumour = bool(case.get("no_tumour"))
    if (voxels["label"] is None) != no_tumour:
        problem = "is empty, and nobody said that there is no tumour" if not no_tumour else "is not empty: no_tumour"
        raise ValueError(f"{case['case']}: its label {problem}; the frozen validation set cannot measure with it")
    files = {key: file_sha256(path) for key, path in copies.items()}
    entry = {"case": case["case"], "patient": patient_of(case), "names": names, "files": files, "voxels": voxels}
    return entry | ({"no_tumour": True} if no_tumour else {})


def _digest(entries: Sequence[Mapping[str, Any]]) -> str:
    # a case with tumour adds nothing for that, so that sets made before there were others keep their hash
    parts = sorted(
        f"{entry['case']} {entry['patient']} {sorted(entry['files'].items())}"
        + (" no_tumour" if entry.get("no_tumour") else "")
        for entry in entries
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
