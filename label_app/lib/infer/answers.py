"""Volumes as the viewers take them: on their grid, in the file type and number type they ask for."""

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from igtv.data.grids import same_grid
from nibabel.processing import resample_from_to

from ..labels.whole_file import holds_bytes

EXTENSIONS = (".nrrd", ".nii.gz", ".nii")
NUMBER_TYPES = ("uint8", "uint16", "int16", "float32")
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """Size and place of a volume: shape (X, Y, Z), and voxel index -> patient RAS mm (4 x 4)."""

    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, path: str | Path) -> "Grid":
        """Grid of a NIfTI file."""
        image = nib.load(path)
        return cls(tuple(image.shape[:3]), image.affine)


def on_grid(volume: np.ndarray, affine: np.ndarray, grid: Grid, nearest: bool) -> np.ndarray:
    """A volume (X, Y, Z) interpolated to another grid, 0 outside; the very same values where the grids agree."""
    if same_grid(volume.shape, affine, grid.shape, grid.affine):
        return volume
    source = nib.Nifti1Image(volume.astype(np.uint8 if nearest else np.float32), affine)
    moved = resample_from_to(source, (grid.shape, grid.affine), order=0 if nearest else 1, cval=0)
    return np.asarray(moved.dataobj)


def write_answer(volume: np.ndarray, affine: np.ndarray, request: Mapping[str, Any], folder: str | Path) -> Path:
    """Write a volume into a file of its own.

    Args:
        volume: (X, Y, Z).
        affine: 4 x 4, voxel index -> patient RAS mm.
        request: `result_extension` (".nii.gz" when it says nothing), `result_dtype` ("uint8"), `result_compress`.
        folder: where the file goes; it has a name nobody else has.

    Returns:
        The path; the caller removes the file. There is none after an error.

    Raises:
        ValueError: a file or number type that is not offered.
        OSError: it could not be written whole.
    """
    extension = request.get("result_extension") or ".nii.gz"
    number_type = request.get("result_dtype") or "uint8"
    for value, offered in ((extension, EXTENSIONS), (number_type, NUMBER_TYPES)):
        if value not in offered:
            raise ValueError(f"{value!r} is not offered for a result; there are {', '.join(offered)}")
    handle, name = tempfile.mkstemp(suffix=extension, prefix="answer-", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        voxels = np.ascontiguousarray(volume).astype(number_type)
        if extension == ".nrrd":
            # without compression where not asked for: OHIF's plugin does not unpack
            write_nrrd(as_sitk(voxels, affine), path, bool(request.get("result_compress")))
        else:
            image = nib.Nifti1Image(voxels, affine)
            image.set_sform(affine, 1)
            image.set_qform(affine, 1)
            image.header.set_xyzt_units("mm")
            nib.save(image, name)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def write_nrrd(image: sitk.Image, path: Path, compress: bool) -> None:
    """Write, and look whether all of it is there: the writer does not tell a full disk, and may not notice it.

    Raises:
        OSError: it is not.
    """
    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
    except RuntimeError as error:
        raise OSError(errno.ENOSPC, f"{path.name} could not be written, is the disk full?") from error
    if not holds_bytes(path, image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()):
        raise OSError(errno.ENOSPC, f"{path.name} is cut off, is the disk full?")


def as_sitk(volume: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """A volume (X, Y, Z) with RAS affine as SimpleITK image (LPS)."""
    image = sitk.GetImageFromArray(volume.transpose())
    lps = RAS_TO_LPS @ np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def first(value: Any) -> Any:
    """The value of an option; a list, as clients get it in `/info/`, means its first entry."""
    return value[0] if isinstance(value, Sequence) and not isinstance(value, str) and len(value) else value
