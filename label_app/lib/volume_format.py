"""A reader for what a file says it is. SimpleITK alone would look for any format it knows, whatever the name."""

import gzip
import zlib
from pathlib import Path

import SimpleITK as sitk

NIFTI, NRRD = "NiftiImageIO", "NrrdImageIO"
# where NIfTI-1 and NIfTI-2 say that header and voxels are in one file
_NIFTI_MARKS = ((344, b"n+1\0"), (4, b"n+2\0\r\n\x1a\n"))
_NIFTI_HEADER_BYTES = 352


def volume_reader(path: Path) -> sitk.ImageFileReader:
    """A reader of this one format, with nothing read yet.

    Args:
        path: `.nii`, `.nii.gz` or `.nrrd`.

    Raises:
        ValueError: its content is not what its name says.
    """
    name = path.name.lower()
    kind = NRRD if name.endswith(".nrrd") else NIFTI
    if not (_is_nrrd(path) if kind == NRRD else _is_nifti(path, name.endswith(".gz"))):
        raise ValueError(f"{path.name} is no {'NRRD' if kind == NRRD else 'NIfTI'} file, as its name says")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(kind)
    reader.SetFileName(str(path))
    return reader


def _is_nrrd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def _is_nifti(path: Path, compressed: bool) -> bool:
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            start = file.read(_NIFTI_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return any(start[place : place + len(mark)] == mark for place, mark in _NIFTI_MARKS)
