"""Whether an uploaded file is an image volume at all, told by its header before anything decodes it."""

from pathlib import Path

from ..nrrd_header import voxels_elsewhere
from ..volume_format import volume_reader
from .errors import RequestError

MAX_VOXELS = 2**30


def check_volume(path: Path) -> None:
    """Refuse what is no 3-D volume of one value per voxel; its voxels are not read.

    Args:
        path: file with an ending that was checked.

    Raises:
        RequestError: with the reason.
    """
    if voxels_elsewhere(path):
        raise RequestError("A NRRD file must hold its voxels itself, after its header.")
    try:
        reader = volume_reader(path)
        reader.ReadImageInformation()
    except (ValueError, RuntimeError):
        raise RequestError("The file cannot be read as a NIfTI or NRRD volume.") from None
    size, voxels = reader.GetSize(), 1
    for count in size:
        voxels *= count
    if len(size) != 3 or min(size) < 2 or reader.GetNumberOfComponents() != 1:
        raise RequestError(f"The file is no 3-D volume of one value per voxel, its size is {size}.")
    if voxels > MAX_VOXELS:
        raise RequestError(f"The volume has {voxels} voxels, more than {MAX_VOXELS}.", 413)
