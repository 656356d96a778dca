"""Masks on the grid of the CT: the very voxels where the grids agree, else resampled, else refused."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from igtv.data import grids
from igtv.dicom.mask_grid import OUTSIDE_SHARE, resampled, share_outside

from .errors import LabelRefused


def read_grid(path: str | Path) -> sitk.Image:
    """Empty image with size and geometry of a file, whose voxels are not read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetDimension() != 3:
        raise ValueError(f"{Path(path).name} has {reader.GetDimension()} dimensions, a 3-D volume is expected")
    grid = sitk.Image(list(reader.GetSize()), sitk.sitkUInt8)
    grid.SetSpacing(reader.GetSpacing())
    grid.SetOrigin(reader.GetOrigin())
    grid.SetDirection(reader.GetDirection())
    return grid


def same_grid(image: sitk.Image, grid: sitk.Image) -> bool:
    """Whether voxel (i, j, k) of both lies at the same place, for every voxel."""
    return grids.same_grid(image.GetSize(), grids.affine_of(image), grid.GetSize(), grids.affine_of(grid))


def on_grid(mask: sitk.Image, grid: sitk.Image) -> tuple[sitk.Image, str | None]:
    """A binary mask on a grid.

    Args:
        mask: uint8, 0 and 1, not empty.
        grid: gives size and geometry.

    Returns:
        The mask with exactly the geometry of `grid`, and in words what was done, None for nothing.

    Raises:
        LabelRefused: the mask lies outside, or nothing of it is left.
    """
    if same_grid(mask, grid):
        mask = sitk.Image(mask)
        mask.CopyInformation(grid)
        return mask, None
    _check_place(mask, grid)
    placed = resampled(mask, grid)
    if not sitk.GetArrayViewFromImage(placed).any():
        raise LabelRefused("the mask is smaller than a voxel of the CT: nothing of it is left on the CT's grid")
    sizes = " on ".join("x".join(str(extent) for extent in image.GetSize()) for image in (mask, grid))
    return placed, f"resampled to the CT's grid ({sizes} voxels)"


def _check_place(mask: sitk.Image, grid: sitk.Image) -> None:
    if _has_no_geometry(mask) and not _has_no_geometry(grid):
        raise LabelRefused(
            f"the mask has {_size(mask)} voxels and no position in space, the CT has {_size(grid)}: draw it on the CT "
            "and save it with its geometry"
        )
    outside = share_outside(mask, grid)
    if outside > OUTSIDE_SHARE:
        raise LabelRefused(f"{100 * outside:.0f} % of the mask lies outside the CT: it was drawn on another image")


def _has_no_geometry(image: sitk.Image) -> bool:
    return (
        np.allclose(image.GetSpacing(), 1)
        and np.allclose(image.GetOrigin(), 0)
        and np.allclose(np.abs(image.GetDirection()), np.eye(3).ravel())
    )


def _size(image: sitk.Image) -> str:
    return " x ".join(str(extent) for extent in image.GetSize())
