"""Whether an uploaded file is an image volume at all, told by its header before anything decodes it."""

import re
from pathlib import Path

import SimpleITK as sitk

from .errors import RequestError

MAX_VOXELS = 2**30
NRRD_HEADER_BYTES = 2**20
# voxels in other files: a header could name any file of the server
_ELSEWHERE = re.compile(rb"^data ?file\s*:", re.IGNORECASE | re.MULTILINE)


def check_volume(path: Path) -> None:
    """Refuse what is no 3-D volume of one value per voxel; its voxels are not read.

    Args:
        path: file with an ending that was checked.

    Raises:
        RequestError: with the reason.
    """
    with path.open("rb") as file:
        start = file.read(NRRD_HEADER_BYTES)
    if start.startswith(b"NRRD"):
        header, end, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end or _ELSEWHERE.search(header.replace(b"\r", b"\n")):
            raise RequestError("A NRRD file must hold its voxels itself, after its header.")
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
