"""The random augmentation of training slabs, put together."""

from collections.abc import Sequence

from monai.transforms import Compose

from .in_plane_warp import RandInPlaneWarpd
from .intensity import RandCtIntensityd, RandPetIntensityd, RandPetSliceAttenuationd
from .pet_shift import RandPetShiftd


def slab_augmentation(
    patch_size: Sequence[int], spacing_mm: Sequence[float], strength: float = 1.0, elastic_prob: float = 0.3
) -> Compose:
    """Augmentation of `{"image", "label"}` slabs for `SlabDataset`, in the order geometry, misfit of PET, intensities.

    A configuration that wants other ranges lists the transforms itself.

    Args:
        patch_size: (H, W) in pixels that the warp hands on.
        spacing_mm: voxel size (H, W, S), for the shift of the PET.
        strength: factor on the probability of every change but flips and elastic deformation, 0 to 1.
        elastic_prob: probability of an elastic deformation.

    Raises:
        ValueError: strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength} must lie in 0..1")
    return Compose(
        [
            RandInPlaneWarpd(prob=0.8 * strength, elastic_prob=elastic_prob, output_size=patch_size),
            RandPetShiftd(spacing_mm=spacing_mm, prob=0.3 * strength),
            RandPetSliceAttenuationd(prob=0.3 * strength),
            RandPetIntensityd(prob=0.5 * strength),
            RandCtIntensityd(prob=0.5 * strength),
        ]
    )
