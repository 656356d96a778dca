"""Whether the CT that was segmented and the series that contours shall refer to are one scan: frames, then voxels."""

import logging
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk

from .errors import DicomError
from .reference_series import ReferenceSeries, same_grid
from .volume import pixel_values, rescale

# Of tissue voxels so many may differ by more than rounding before two images of one grid are of different scans.
DIFFERENT_SHARE = 0.05
ROUNDING_HU = 1.0
AIR_HU = -1000.0  # below lies padding, which every program fills in its own way
# Other grids: of the voxels that are soft tissue in either image so many may differ clearly. The same scan on other
# voxels reaches 0.00, the opposite phase of breathing 0.07, other patients laid on each other 0.24 and more (66 pairs).
OTHER_GRID_SHARE = 0.2
CLEAR_HU = 150.0
SOFT_TISSUE_HU = -300.0
SLICES = 9  # that are compared there, spread over what both images show
_OUTSIDE_HU = -5000.0

logger = logging.getLogger(__name__)


def check_same_scan(image: sitk.Image, reference: ReferenceSeries, source: Mapping[str, Any]) -> None:
    """Make sure that contours drawn on a CT may refer to a series.

    Args:
        image: the CT that was segmented, HU.
        reference: the series.
        source: what the importer noted of the CT, `source` of its `case.json`; {} where it has none.

    Raises:
        DicomError: the series lies in another frame of reference and is not the very image under new UIDs, as after a
            de-identification; or the voxels differ.
    """
    made_of = [*source.get("ct", []), *source.get("phases", [])]
    if len(made_of) > 1 and reference.series.series_uid in {entry.get("series_uid") for entry in made_of}:
        return  # an average of several series equals none of them: there the importer's word counts
    frames = {str(entry.get("frame_of_reference_uid") or "") for entry in made_of} - {""}
    own, one_grid = reference.series.frame_of_reference_uid, same_grid(image, reference)
    if not frames and not one_grid:
        _check_other_grid(image, reference)
    elif own in frames and not one_grid:
        logger.warning("the CT is not on the grid of %s; both are of one frame of reference", reference.series.label)
    elif not frames or own in frames:
        check_same_image(image, reference)
    elif not one_grid or _share_on_grid(image, reference) > DIFFERENT_SHARE:
        raise DicomError(
            f"{reference.series.label} lies in the frame of reference {own}, the CT that was segmented in "
            f"{', '.join(sorted(frames))}, as its case.json says, and their voxels are not the same: contours would "
            "lie at another place there, or in another patient; give the folder of that CT as --reference_dicom"
        )


def check_same_image(image: sitk.Image, reference: ReferenceSeries) -> None:
    """Make sure that an image was made from the series: scans of one protocol share their grid, not their voxels.

    Args:
        image: the CT that was segmented, in HU, on the grid of the series.
        reference: the series; its middle slice is looked at.

    Raises:
        DicomError: the voxels differ.
    """
    different = _share_on_grid(image, reference)
    if different > DIFFERENT_SHARE:
        name = reference.files[len(reference.headers) // 2].name
        raise DicomError(
            f"{reference.series.label} is not the CT that was segmented: {100 * different:.0f} % of the voxels in "
            f"{name} differ; give the folder of that CT as --reference_dicom"
        )


def _share_on_grid(image: sitk.Image, reference: ReferenceSeries) -> float:
    """Share of the middle slice's tissue voxels that differ by more than rounding."""
    index = len(reference.headers) // 2
    expected = _slice_hu(reference, index)
    plane = reference.grid[:, :, index : index + 1]
    found = sitk.GetArrayFromImage(sitk.Resample(image, plane, sitk.Transform(), sitk.sitkNearestNeighbor))[0]
    tissue = (expected > AIR_HU) & (found > AIR_HU)
    return float((np.abs(found.astype(float) - expected)[tissue] > ROUNDING_HU).mean()) if tissue.any() else 0.0


def _check_other_grid(image: sitk.Image, reference: ReferenceSeries) -> None:
    """Refuse a series of another body; rounding and edges differ between grids, bodies differ more."""
    tissue, different = 0, 0
    hu = sitk.Cast(image, sitk.sitkFloat32)
    for index in _common_slices(image, reference):
        expected = _slice_hu(reference, index)
        plane = reference.grid[:, :, index : index + 1]
        placed = sitk.Resample(hu, plane, sitk.Transform(), sitk.sitkLinear, _OUTSIDE_HU, sitk.sitkFloat32)
        found = sitk.GetArrayFromImage(placed)[0]
        counted = (found > _OUTSIDE_HU) & (np.maximum(found, expected) > SOFT_TISSUE_HU)
        tissue += counted.sum()
        different += (np.abs(found - expected)[counted] > CLEAR_HU).sum()
    if tissue == 0:
        logger.warning("the CT shows no tissue of %s: check that both are of one scan", reference.series.label)
    elif different / tissue > OTHER_GRID_SHARE:
        raise DicomError(
            f"{reference.series.label} does not show the CT that was segmented: it has another grid, and "
            f"{100 * different / tissue:.0f} % of the tissue differs; give the folder of that CT as --reference_dicom"
        )
    else:
        logger.warning("the CT is not on the grid of %s: check that both are of one scan", reference.series.label)


def _common_slices(image: sitk.Image, reference: ReferenceSeries) -> list[int]:
    """Numbers of some slices of the series within the height of the image; none where they do not overlap."""
    corners = product(*((0.0, float(size - 1)) for size in image.GetSize()))
    points = [image.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners]
    heights = [reference.grid.TransformPhysicalPointToContinuousIndex(point)[2] for point in points]
    low, high = max(0, int(np.ceil(min(heights)))), min(len(reference.headers) - 1, int(np.floor(max(heights))))
    return sorted({round(height) for height in np.linspace(low, high, SLICES)}) if low <= high else []


def _slice_hu(reference: ReferenceSeries, index: int) -> np.ndarray:
    """One slice of the series (y, x) in HU."""
    slope, intercept = rescale(reference.headers[index], reference.files[index])
    return pixel_values(reference.files[index]) * slope + intercept
