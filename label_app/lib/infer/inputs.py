"""Which CT and PET a request means: a case of the datastore, or volumes a client brought along in a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from igtv.data.checks import find_problem
from igtv.files import replacing

from lib.studies.errors import PetMissing
from lib.studies.image_id import PET_SUFFIX
from lib.volume_format import volume_reader

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
NIFTI_SUFFIXES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class InferCase:
    """What an inference needs.

    Attributes:
        name: id of the case, or of the session.
        ct: CT in HU, NIfTI.
        pet: PET in SUVbw (g/ml), NIfTI.
        on_pet: the answer, and the voxel indices of clicks, belong to the PET's grid.
        stored: the case is in the datastore; False for a session.
    """

    name: str
    ct: Path
    pet: Path
    on_pet: bool = False
    stored: bool = True

    @property
    def image_id(self) -> str:
        """Names a case of the datastore and the grid of its answers."""
        return f"{self.name}{PET_SUFFIX}" if self.on_pet else self.name

    @property
    def grid(self) -> Path:
        """The volume whose grid the client works on."""
        return self.pet if self.on_pet else self.ct


def requested_case(request: Mapping[str, Any], datastore: Any) -> InferCase:
    """The case of a request.

    Args:
        request: with `session` (as MONAI Label's sessions describe themselves) or `case_id`.
        datastore: knows which PET belongs to which CT.

    Raises:
        PetMissing: there is no PET, and none is made up.
        ValueError: the request names no case.
    """
    session = request.get("session")
    if session:
        return _session_case(Path(session["image"]), str(session.get("name", "session")))
    image_id = request.get("case_id")
    if not image_id:
        raise ValueError("the request names no image")
    case = datastore.case(image_id)
    return InferCase(case["case"], Path(case["ct"]), Path(case["pet"]), case.get("grid") == "pet")


def _session_case(brought: Path, name: str) -> InferCase:
    files = [path for path in sorted(brought.iterdir()) if path.is_file()] if brought.is_dir() else [brought]
    found = {what: [path for path in files if _stem(path).lower() == what] for what in ("ct", "pet")}
    if len(found["pet"]) != 1 or len(found["ct"]) != 1:
        raise PetMissing(
            "a session needs two files, ct.nii.gz (HU) and pet.nii.gz (SUVbw); this one has "
            f"{', '.join(path.name for path in files)[:200] or 'none'}. The Slicer module 'IGTV PET' sends both"
        )
    ct, pet = (_as_nifti(found[what][0]) for what in ("ct", "pet"))
    problem = find_problem({"case": name, "ct": str(ct), "pet": str(pet)}, need_label=False)
    if problem:
        raise PetMissing(f"the volumes of this session cannot be used: {problem.replace(f'{ct.parent}/', '')}")
    return InferCase(name, ct, pet, stored=False)


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(suffix) for suffix in VOLUME_SUFFIXES if path.name.endswith(suffix)), "")


def _as_nifti(path: Path) -> Path:
    """The volume as NIfTI beside it; the session's folder goes as a whole."""
    if path.name.endswith(NIFTI_SUFFIXES):
        return path
    converted = path.parent / "nifti" / f"{_stem(path)}.nii.gz"
    if not converted.is_file():
        with replacing(converted) as temporary:
            sitk.WriteImage(volume_reader(path).Execute(), str(temporary))
    return converted
