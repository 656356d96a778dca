"""A real case as breathing is put into it: CT, PET and GTV turned to RAS, on grids parallel to the patient's axes."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from ..data.checks import find_problem
from ..data.datalist_item import DatalistItem
from .grid import Grid

# sine of the largest angle between a grid's axes and the patient's
LARGEST_TILT = 1e-3


class BadSourceError(ValueError):
    """A source case into which no breathing can be put, for the reason given."""


@dataclass(frozen=True)
class SourceCase:
    """Images of a case, axis order (X, Y, Z) towards R, A, S.

    Args:
        case, patient: names as in the datalist.
        ct: HU, on `grid`.
        pet: float32 SUVbw, on `pet_grid`.
        gtv: bool, on `grid`.
        grid, pet_grid: their geometries.
    """

    case: str
    patient: str
    ct: np.ndarray
    pet: np.ndarray
    gtv: np.ndarray
    grid: Grid
    pet_grid: Grid


def load_source(item: DatalistItem) -> SourceCase:
    """Read and check a case.

    Raises:
        BadSourceError: it cannot be used; the text says which file and why.
    """
    if item.label_kind == "igtv":
        raise BadSourceError(
            "its contour is an IGTV already (`label_kind`): breathing is put into GTV contours, of one moment"
        )
    problem = find_problem(item.as_case(), need_label=True)
    if problem:
        raise BadSourceError(problem)
    ct, grid = _read(item.ct)
    pet, pet_grid = _read(item.pet)
    gtv, _ = _read(item.label)
    if not (gtv > 0).any():
        raise BadSourceError(f"{item.label} is empty: there is no tumour that could move")
    return SourceCase(item.case, item.patient, ct, np.asarray(pet, np.float32), gtv > 0, grid, pet_grid)


def _read(path: str) -> tuple[np.ndarray, Grid]:
    image = nib.as_closest_canonical(nib.load(path))
    affine, spacing = image.affine, np.asarray(image.header.get_zooms()[:3], np.float64)
    if np.abs(affine[:3, :3] / spacing - np.eye(3)).max() > LARGEST_TILT:
        raise BadSourceError(
            f"{path} is tilted against the patient's axes: resample it to a straight grid, such as with "
            "SimpleITK.Resample or MONAI's Spacing, before breathing is put into it"
        )
    grid = Grid(tuple(map(float, affine[:3, 3])), tuple(map(float, np.diag(affine)[:3])), image.shape)
    return np.asarray(image.dataobj), grid
