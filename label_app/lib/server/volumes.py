"""Whether an uploaded file is an image volume at all, told by its header before anything else reads it."""

from pathlib import Path

import SimpleITK as sitk

from .errors import RequestError

MAX_VOXELS = 2**30


def check_volume(path: Path) -> None:
    """Refuse what is no 3-D volume of one value per voxel.

    Args:
        path: file with an ending that was checked.

    Raises:
        RequestError: with the reason.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise RequestError("The file cannot be read as a NIfTI or NRRD volume.") from None
    size, voxels = reader.GetSize(), 1
    for count in size:
        voxels *= count
    if len(size) != 3 or min(size) < 2 or reader.GetNumberOfComponents() != 1:
        raise RequestError(f"The file is no 3-D volume of one value per voxel, its size is {size}.")
    if voxels > MAX_VOXELS:
        raise RequestError(f"The volume has {voxels} voxels, more than {MAX_VOXELS}.", 413)
    try:
        sitk.ReadImage(str(path))
    except RuntimeError:
        raise RequestError("The file is damaged: its voxels cannot be read.") from None
