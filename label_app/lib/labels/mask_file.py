"""Masks on the disk: written, and read back before anybody is told."""

import errno
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_mask(mask: sitk.Image, path: Path) -> None:
    """Write a mask, compressed, and read it back: image libraries do not always notice a full disk.

    Args:
        mask: of a label or a proposal.
        path: its ending says the file type.

    Raises:
        OSError: the file is not, or not whole, on the disk.
    """
    try:
        sitk.WriteImage(mask, str(path), useCompression=True)
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [""])[-1]
        raise OSError(errno.ENOSPC, f"the mask could not be written, is the disk full? {reason}") from error
    if not np.array_equal(written, sitk.GetArrayViewFromImage(mask)):
        raise OSError(errno.ENOSPC, "the mask on the disk is not the one received, is the disk full?")
