"""Whether two volumes lie on one grid."""

import nibabel as nib
import numpy as np
import SimpleITK as sitk

# corners of two grids that are meant to be one differ by rounding only
GRID_TOLERANCE_MM = 0.1


def same_grid(
    shape: tuple[int, ...], affine: np.ndarray, other_shape: tuple[int, ...], other_affine: np.ndarray
) -> bool:
    """Whether voxel (i, j, k) of both grids lies at one place, for every voxel, but for rounding."""
    if tuple(shape) != tuple(other_shape):
        return False
    return grid_distance_mm(shape, affine, other_affine) <= GRID_TOLERANCE_MM


def affine_of(image: sitk.Image) -> np.ndarray:
    """(4, 4) voxel index (x, y, z) -> mm in DICOM's axes (left, posterior, superior)."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


def corners_mm(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """(8, 3) world coordinates of the corner voxels' centres.

    Args:
        shape: voxels (X, Y, Z).
        affine: voxel index -> mm.
    """
    index = np.stack(np.meshgrid(*[(0, extent - 1) for extent in shape], indexing="ij"), axis=-1)
    return nib.affines.apply_affine(affine, index.reshape(-1, 3))


def grid_distance_mm(shape: tuple[int, ...], affine: np.ndarray, other_affine: np.ndarray) -> float:
    """By how much the corners of two grids of one shape lie apart, along the axis where it is most.

    A difference of the voxel sizes counts as much as it moves the far corner.
    """
    return float(np.abs(corners_mm(shape, affine) - corners_mm(shape, other_affine)).max())
