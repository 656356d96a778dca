"""What makes two cases the same whatever their files are called: the patient's id, and the voxels themselves.

A file's hash changes when it is renamed inside a gzip header or compressed again; the hash of the voxels does not.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

IMAGES = ("ct", "pet", "label")


def patient_of(case: Mapping[str, Any]) -> str:
    """The patient of a case: `patient`, `patient_id`, or the case's own name."""
    return str(case.get("patient") or case.get("patient_id") or case["case"])


def voxel_sha256(path: str | Path) -> str | None:
    """SHA-256 of shape and voxel values of a NIfTI file; None when all values are equal, as in an empty mask.

    Equal values say nothing about whose image it is: two patients without tumour have the same mask.
    """
    status = Path(path).stat()
    return _voxel_sha256(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _voxel_sha256(path: str, _changed: int, _size: int) -> str | None:
    values = np.ascontiguousarray(np.asanyarray(nib.load(path).dataobj), dtype="<f4")
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
        FileNotFoundError: a file is missing.
    """
    digest = voxel_sha256(case["label"])
    if digest is not None or not case.get("no_tumour"):
        return digest
    return hashlib.sha256(f"no tumour in {voxel_sha256(case['ct'])}".encode()).hexdigest()


def voxel_hashes(case: Mapping[str, Any]) -> dict[str, str | None]:
    """`voxel_sha256` of CT, PET and label of a case.

    Raises:
        FileNotFoundError: a file is missing.
    """
    return {key: voxel_sha256(case[key]) for key in IMAGES}
