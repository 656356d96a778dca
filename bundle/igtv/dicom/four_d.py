"""Volumes of a 4D-CT: phases read one by one on one grid, average and maximum-intensity projection over them."""

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from ..data.grids import affine_of, same_grid
from .errors import DicomError
from .phases import FourD, PhaseName
from .volume import read_volume


def read_phases(four_d: FourD) -> Iterator[tuple[PhaseName, sitk.Image, list[str]]]:
    """Phases in order, each in HU, with the decisions of reading; one is held in memory at a time.

    Raises:
        DicomError: a phase lies on another grid than the first.
    """
    first = None
    for name, series in zip(four_d.names, four_d.series, strict=True):
        image, decisions = read_volume(series)
        grid = (image.GetSize(), affine_of(image))
        first = first or grid
        if not same_grid(*grid, *first):
            raise DicomError(
                f"phase {name} of the 4D-CT ({series.label}) lies on another grid than phase {four_d.names[0]}: "
                "size, spacing or position differ; export all phases of one reconstruction"
            )
        yield name, image, decisions


def read_phase(four_d: FourD, name: PhaseName) -> sitk.Image:
    """One phase in HU."""
    return read_volume(four_d.series[four_d.names.index(name)])[0]


def average_and_mip(four_d: FourD) -> tuple[sitk.Image, sitk.Image, list[str]]:
    """Mean and maximum over the phases.

    Returns:
        Both in HU, float32, and the decisions of reading (the same for all phases said once).
    """
    total = highest = template = None
    decisions: list[str] = []
    for _, image, words in read_phases(four_d):
        values = sitk.GetArrayViewFromImage(image)
        if total is None:
            total, highest, template = values.astype(np.float64), values.copy(), image
        else:
            total += values
            np.maximum(highest, values, out=highest)
        decisions += [f"each phase: {word}" for word in words if f"each phase: {word}" not in decisions]
    return like((total / len(four_d.names)).astype(np.float32), template), like(highest, template), decisions


def union(masks: list[sitk.Image]) -> sitk.Image:
    """Voxels that lie in any of the masks (uint8 0/1, one grid)."""
    joined = np.logical_or.reduce([sitk.GetArrayViewFromImage(mask) != 0 for mask in masks])
    return like(joined.astype(np.uint8), masks[0])


def like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    """An array (z, y, x) with the geometry of an image."""
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result
