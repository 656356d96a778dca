"""Small CT/PET pairs as NIfTI, with the units and values of real ones."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def write_pair():
    """Function that writes `<folder>/<ct>` and `<folder>/<pet>` and returns the CT image."""
    return write_small_pair


def write_small_pair(folder: Path, ct: str, pet: str | None) -> sitk.Image:
    """A warm ball in water, in air; PET on a coarser grid."""
    z, y, x = np.mgrid[:12, :24, :24]
    ball = (z - 6) ** 2 + (y - 12) ** 2 / 4 + (x - 12) ** 2 / 4 < 9
    body = (y - 12) ** 2 + (x - 12) ** 2 < 100
    image = sitk.GetImageFromArray(np.where(ball, 40, np.where(body, 0, -1000)).astype(np.int16))
    image.SetSpacing([2.0, 2.0, 3.0])
    image.SetOrigin([-24.0, -20.0, 100.0])
    (folder / ct).parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(folder / ct), True)
    if pet:
        suv = sitk.GetImageFromArray(np.where(ball, 6.0, np.where(body, 1.0, 0.0)).astype(np.float32))
        suv.CopyInformation(image)
        coarse = sitk.Resample(
            suv, [12, 12, 9], sitk.Transform(), sitk.sitkLinear, [-23.0, -19.0, 100.5], [4.0, 4.0, 4.0]
        )
        (folder / pet).parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(coarse, str(folder / pet), True)
    return image
