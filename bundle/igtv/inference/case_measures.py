"""What the summary says about a predicted mask: size, extent, uptake."""

import nibabel as nib
import numpy as np

from .lesions import number_lesions


def measure(mask: np.ndarray, pet_suv: np.ndarray, affine: np.ndarray) -> dict[str, float | int | None]:
    """Size, extent and uptake of a mask.

    Args:
        mask: (X, Y, Z), 1 inside.
        pet_suv: PET in SUVbw (g/ml) on the same grid.
        affine: voxel index -> patient RAS mm.

    Returns:
        volume_ml, components (voxels that share a face or an edge), slices (with any of it along the axis closest to
        head-feet), inferior_mm and superior_mm (z of the lowest and the highest voxel centre), suv_max, suv_mean; None
        for extent and uptake of an empty mask.
    """
    mask = mask != 0
    result = {
        "volume_ml": round(float(mask.sum() * abs(np.linalg.det(affine[:3, :3]))) / 1000, 3),
        "components": int(number_lesions(mask).max(initial=0)),
        "slices": 0,
    }
    if not mask.any():
        return {**result, "inferior_mm": None, "superior_mm": None, "suv_max": None, "suv_mean": None}
    axial = int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
    result["slices"] = int(mask.any(axis=tuple(axis for axis in range(3) if axis != axial)).sum())
    z_mm = np.argwhere(mask) @ affine[2, :3] + affine[2, 3]
    uptake = pet_suv[mask]
    return {
        **result,
        "inferior_mm": round(float(z_mm.min()), 2),
        "superior_mm": round(float(z_mm.max()), 2),
        "suv_max": round(float(uptake.max()), 3),
        "suv_mean": round(float(uptake.mean()), 3),
    }
