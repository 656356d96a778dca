"""Files of one case: CT, PET, label, per-phase truth and facts; a half-made case is never taken as whole."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from ..files import replacing, write_json
from .case import Case
from .grid import Grid

PHASES_FILE = "phases.nii.gz"
IMAGE_FILES = ("ct.nii.gz", "pet.nii.gz", "label.nii.gz", PHASES_FILE)
FACTS_FILE = "case.json"


def save_case(folder: str | Path, case: Case) -> None:
    """Write a case; `case.json` comes last, so that a folder that has it is complete.

    Args:
        folder: folder of the case, made where missing.
        case: what to write.
    """
    folder = Path(folder)
    for name, volume, grid in zip(
        IMAGE_FILES,
        (case.ct, case.pet, case.label, case.phases),
        (case.grid, case.pet_grid, case.grid, case.grid),
        strict=True,
    ):
        save_volume(folder / name, volume, grid)
    write_json(folder / FACTS_FILE, case.metadata)


def save_volume(path: Path, volume: np.ndarray, grid: Grid) -> None:
    """Write a volume as NIfTI in RAS with qform and sform set to the scanner's space."""
    image = nib.Nifti1Image(volume, grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    image.header.set_xyzt_units("mm")
    with replacing(path) as temporary:
        nib.save(image, temporary)


def is_complete(folder: Path) -> bool:
    """Whether all files of a case are there."""
    return all((folder / name).is_file() for name in (*IMAGE_FILES, FACTS_FILE))


def load_case(folder: str | Path) -> Case:
    """Read a case back.

    Raises:
        FileNotFoundError: a file of the case is missing.
    """
    folder = Path(folder)
    if not is_complete(folder):
        raise FileNotFoundError(f"{folder} is not a complete phantom case: make the data set again.")
    images = [nib.load(folder / name) for name in IMAGE_FILES]
    ct, pet, label, phases = (np.asarray(image.dataobj) for image in images)
    grid, pet_grid = (_grid_of(image) for image in images[:2])
    facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
    return Case(folder.name, ct, pet, label, phases, grid, pet_grid, facts)


def _grid_of(image) -> Grid:
    affine = image.affine
    return Grid(tuple(map(float, affine[:3, 3])), tuple(map(float, np.diag(affine)[:3])), image.shape)
