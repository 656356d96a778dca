"""A small oblique CT grid, masks on it, and a store of labels."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels.label_store import LabelStore


@pytest.fixture
def grid() -> sitk.Image:
    """Empty image of 12 x 10 x 8 voxels, turned by 10 degrees about the body's axis, x mirrored."""
    image = sitk.Image([12, 10, 8], sitk.sitkUInt8)
    image.SetSpacing([1.5, 1.5, 3.0])
    image.SetOrigin([-20.0, 31.0, -104.5])
    cosine, sine = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
    image.SetDirection([-cosine, -sine, 0, -sine, cosine, 0, 0, 0, 1])
    return image


@pytest.fixture
def mask(grid) -> sitk.Image:
    """A box of 4 x 3 x 2 voxels."""
    return box_on(grid)


def box_on(grid: sitk.Image, value: int = 1) -> sitk.Image:
    """The box of `mask` with another value."""
    image = sitk.Image(grid)
    image[3:7, 2:5, 3:5] = value
    return image


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")
