"""Whether two volumes lie on one grid."""

import nibabel as nib
import numpy as np

# corners of two grids that are meant to be one differ by rounding only
GRID_TOLERANCE_MM = 0.1


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
