"""A binary mask and a grid that it was not drawn on: how much of it lies outside, and the mask on that grid."""

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from ..data.grids import affine_of

# So much of a mask may lie outside an image: less than a slice, since voxels of other grids overhang a little.
OUTSIDE_SHARE = 0.01
# beyond half a voxel from the outermost centres, with room for rounding
EDGE_VOXELS = 0.55


def share_outside(mask: sitk.Image, grid: sitk.Image) -> float:
    """Share of a mask's voxels whose centres lie outside a grid; compare it with `OUTSIDE_SHARE`.

    Args:
        mask: uint8, 0 and 1, not empty.
        grid: gives size and geometry.
    """
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    index = nib.affines.apply_affine(np.linalg.inv(affine_of(grid)) @ affine_of(mask), voxels)
    outside = (index < -EDGE_VOXELS) | (index > np.array(grid.GetSize()) - 1 + EDGE_VOXELS)
    return float(outside.any(axis=1).mean())


def resampled(mask: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The mask on a grid, linear and cut at one half; empty where it is smaller than a voxel there."""
    share = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return sitk.Cast(share >= 0.5, sitk.sitkUInt8)
