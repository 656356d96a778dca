"""How avid a lesion is on PET: hot and large at once, which a tumour is and an infiltrate or a vessel is not."""

import numpy as np
from scipy import ndimage

AVID_ABOVE_SUV = 1.5  # the blood's; 1.5 to 2.5 do the same on phantoms, and cold tumours need the lower one


def excess_uptake(numbers: np.ndarray, affine: np.ndarray, pet_suv: np.ndarray, pet_affine: np.ndarray) -> np.ndarray:
    """Uptake of each lesion above SUV 1.5, summed over its volume: total lesion glycolysis without the background.

    Args:
        numbers: lesion numbers (X, Y, Z) from 1, 0 outside.
        affine: of the numbers, voxel index -> patient RAS mm.
        pet_suv: PET in SUVbw (g/ml), (X', Y', Z') on any grid; read with linear interpolation.
        pet_affine: of the PET.

    Returns:
        SUV x ml, float (lesions,), that of lesion 1 first.
    """
    to_pet = np.linalg.inv(pet_affine) @ affine
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    excess = []
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        inside = numbers[box] == number
        start = to_pet[:3, :3] @ [side.start for side in box] + to_pet[:3, 3]
        suv = ndimage.affine_transform(pet_suv, to_pet[:3, :3], start, inside.shape, order=1, mode="nearest")[inside]
        excess.append(np.clip(suv - AVID_ABOVE_SUV, 0, None).sum() * voxel_ml)
    return np.array(excess, float)


def most_avid(numbers: np.ndarray, affine: np.ndarray, pet_suv: np.ndarray, pet_affine: np.ndarray) -> int:
    """Number of the lesion with the highest excess uptake; the first, which is the largest, where none is above 1.5.

    Arguments as those of `excess_uptake`; at least one lesion.
    """
    return 1 + int(excess_uptake(numbers, affine, pet_suv, pet_affine).argmax())
