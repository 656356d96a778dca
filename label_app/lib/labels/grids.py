"""Masks on the grid of the CT: the very voxels where the grids agree, else resampled, else refused."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import LabelRefused

# Two grids are one when their corners differ by less than this share of a voxel.
SAME_GRID_VOXELS = 0.05
# So much of a mask may lie outside the CT: voxels of other grids overhang a little.
OUTSIDE_SHARE = 0.01


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
    if image.GetSize() != grid.GetSize():
        return False
    differences = _to_index(grid, _corners_mm(image)) - _corner_indices(image)
    return bool(np.abs(differences).max() < SAME_GRID_VOXELS)


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
    share = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    placed = sitk.Cast(share >= 0.5, sitk.sitkUInt8)
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
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    index = _to_index(grid, _to_mm(mask, voxels))
    outside = float(((index < -0.55) | (index > np.array(grid.GetSize()) - 0.45)).any(axis=1).mean())
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


def _corner_indices(image: sitk.Image) -> np.ndarray:
    return np.array(np.meshgrid(*[(0, extent - 1) for extent in image.GetSize()], indexing="ij")).reshape(3, -1).T


def _corners_mm(image: sitk.Image) -> np.ndarray:
    return _to_mm(image, _corner_indices(image))


def _steps(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())


def _to_mm(image: sitk.Image, index: np.ndarray) -> np.ndarray:
    return index @ _steps(image).T + np.array(image.GetOrigin())


def _to_index(image: sitk.Image, points_mm: np.ndarray) -> np.ndarray:
    return (points_mm - np.array(image.GetOrigin())) @ np.linalg.inv(_steps(image)).T
