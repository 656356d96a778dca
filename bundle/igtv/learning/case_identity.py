"""What makes two cases the same whatever their files are called: the patient's id, and the voxels themselves.

A file's hash changes when it is renamed inside a gzip header or compressed again; the hash of the voxels does not.
"""

import hashlib
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

IMAGES = ("ct", "pet", "label")
# what gzip, NIfTI's header and voxels that are no plain numbers raise; none of it is an OSError
UNREADABLE = (EOFError, zlib.error, ImageFileError, HeaderDataError, TypeError)


def patient_of(case: Mapping[str, Any]) -> str:
    """The patient of a case: `patient`, `patient_id`, or the case's own name."""
    return str(case.get("patient") or case.get("patient_id") or case["case"])


def voxel_sha256(path: str | Path) -> str | None:
    """SHA-256 of shape and voxel values of a NIfTI file; None when all values are equal, as in an empty mask.

    Equal values say nothing about whose image it is: two patients without tumour have the same mask.

    Raises:
        OSError: the file is missing, was cut off or holds no image of plain numbers.
    """
    status = Path(path).stat()
    return _voxel_sha256(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _voxel_sha256(path: str, _changed: int, _size: int) -> str | None:
    try:
        values = np.ascontiguousarray(np.asanyarray(nib.load(path).dataobj), dtype="<f4")
    except UNREADABLE as error:
        raise OSError(f"{path}: {error}") from error
    if values.size == 0 or values.min() == values.max():
        return None
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(values)
    return digest.hexdigest()


def label_sha256(case: Mapping[str, Any]) -> str | None:
    """What a label says, as a hash: of its voxels, and for an empty one that means it (`no_tumour`), of whose it is.

    Returns:
        The hash; None for an empty label of which nobody said that there is no tumour.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    digest = voxel_sha256(case["label"])
    if digest is not None or not case.get("no_tumour"):
        return digest
    return hashlib.sha256(f"no tumour in {voxel_sha256(case['ct'])}".encode()).hexdigest()


def voxel_hashes(case: Mapping[str, Any]) -> dict[str, str | None]:
    """`voxel_sha256` of CT, PET and label of a case.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    return {key: voxel_sha256(case[key]) for key in IMAGES}
