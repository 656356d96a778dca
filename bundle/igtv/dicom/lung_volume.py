"""Air-filled lung in a CT: the breathing curve of a 4D-CT, whether or not a tumour is contoured."""

import numpy as np
import SimpleITK as sitk

LUNG_HU = -400.0
WORKING_MM = 3.0
# A smaller piece is bowel or trachea alone.
LEAST_ML = 200.0


def lung_volume_ml(ct_hu: sitk.Image) -> float | None:
    """Volume of the air-filled lung.

    Args:
        ct_hu: CT in HU, axial.

    Returns:
        Millilitres of air-like voxels inside the body that no slice's border reaches; None where there is no lung.
    """
    factors = [max(1, int(WORKING_MM / spacing)) for spacing in ct_hu.GetSpacing()[:2]] + [1]
    small = sitk.BinShrink(ct_hu, factors)
    air = sitk.GetArrayFromImage(small) < LUNG_HU
    inside = np.zeros_like(air)
    for index, plane in enumerate(air):
        # air that touches the picture's border is the room; the rest of a slice's air is inside the body
        pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(plane.astype(np.uint8))))
        border = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
        inside[index] = plane & ~np.isin(pieces, border)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(inside.astype(np.uint8))))
    voxel_ml = float(np.prod(small.GetSpacing())) / 1000
    sizes = np.bincount(sitk.GetArrayViewFromImage(pieces).ravel())[1:3] * voxel_ml
    volume = float(sizes[sizes >= LEAST_ML].sum())
    return round(volume, 1) if volume else None
