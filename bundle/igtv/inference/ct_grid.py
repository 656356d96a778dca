"""Results on the grid of the CT as the user gave it: checked, placed and written."""

from pathlib import Path

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from nibabel.processing import resample_from_to

from ..data.grids import same_grid
from ..files import replacing


def on_ct_grid(volume: MetaTensor, ct: nib.Nifti1Image, case: str, name: str) -> np.ndarray:
    """The volume as array (X, Y, Z), after making sure that it lies on the CT's own grid.

    Args:
        volume: (1, X, Y, Z) with its affine.
        ct: the CT's file.
        case, name: for the error text.

    Raises:
        TypeError: when the volume carries no geometry.
        ValueError: when shape or affine are not those of the CT.
    """
    way_out = "Undo the pre-processing with Invertd before the result is written."
    if not isinstance(volume, MetaTensor):
        raise TypeError(f"Case {case}: {name} is a {type(volume).__name__} without geometry. {way_out}")
    if tuple(volume.shape) != (1, *ct.shape):
        raise ValueError(f"Case {case}: {name} has shape {tuple(volume.shape)}, the CT {(1, *ct.shape)}. {way_out}")
    affine = volume.affine.cpu().numpy()
    if not same_grid(ct.shape, affine, ct.shape, ct.affine):
        raise ValueError(
            f"Case {case}: {name} has the affine {affine.round(3).tolist()}, the CT "
            f"{ct.affine.round(3).tolist()}. {way_out}"
        )
    return volume.as_tensor().detach().cpu().numpy()[0]


def save_on_ct_grid(path: Path, volume: np.ndarray, ct: nib.Nifti1Image) -> None:
    """Write (X, Y, Z) with the CT's geometry; nothing else of its header, whose texts may name the patient."""
    image = nib.Nifti1Image(volume, ct.affine)
    qform_code, sform_code = int(ct.header["qform_code"]), int(ct.header["sform_code"])
    image.set_sform(ct.affine, sform_code or qform_code or 2)
    image.set_qform(ct.get_qform() if qform_code else ct.affine, qform_code)
    image.header.set_xyzt_units("mm")
    with replacing(path) as temporary:
        nib.save(image, temporary)


def pet_on_ct_grid(pet_path: str | Path, ct: nib.Nifti1Image) -> np.ndarray:
    """PET in SUVbw (g/ml) on the grid of the CT, trilinear, 0 outside the PET: (X, Y, Z) float32."""
    pet = nib.load(pet_path)
    pet = nib.Nifti1Image(pet.get_fdata(dtype=np.float32, caching="unchanged"), pet.affine)
    if same_grid(pet.shape, pet.affine, ct.shape, ct.affine):
        return np.asarray(pet.dataobj)
    return np.asarray(resample_from_to(pet, (ct.shape, ct.affine), order=1, cval=0.0).dataobj)


def in_ras_order(volume: np.ndarray, ct: nib.Nifti1Image) -> np.ndarray:
    """Axes swapped and mirrored so that they run to the patient's right, front and head as nearly as the CT's do."""
    return nib.apply_orientation(volume, nib.io_orientation(ct.affine))
