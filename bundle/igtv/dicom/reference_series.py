"""The image series that a mask was drawn on: what RTSTRUCT and SEG refer to, and the grid they need."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from ..data.grids import GRID_TOLERANCE_MM, affine_of, corners_mm
from .errors import DicomError, tag_name
from .geometry import stack
from .headers import IMAGE_MODALITIES
from .mask_grid import OUTSIDE_SHARE, resampled, share_outside
from .series import Series, find_series
from .series_choice import choose_series, listing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceSeries:
    """An image series with its slices sorted along their normal.

    Args:
        series: as found.
        files, headers: of the slices in their order; the headers whole but for the pixels.
        grid: empty image with the size and the geometry of the series.
    """

    series: Series
    files: tuple[Path, ...]
    headers: tuple[Dataset, ...]
    grid: sitk.Image

    def plane_mm(self, index: int) -> np.ndarray:
        """Position of the first voxel of a slice as its own header gives it; scanners round, grids do not."""
        return np.array([float(value) for value in self.headers[index].ImagePositionPatient])


def read_reference(series: Series) -> ReferenceSeries:
    """Sort a series and read its headers.

    Raises:
        DicomError: the series is no volume (see `geometry.stack`), or has no frame of reference.
    """
    if not series.frame_of_reference_uid:
        raise DicomError(
            f"{series.label}: {tag_name('FrameOfReferenceUID')} is missing; contours would have no coordinate system"
        )
    slices = stack(series)
    files = tuple(series.files[index] for index in slices.order)
    headers = tuple(pydicom.dcmread(file, stop_before_pixels=True) for file in files)
    first = headers[0]
    grid = sitk.Image([int(first.Columns), int(first.Rows), len(headers)], sitk.sitkUInt8)
    grid.SetSpacing(slices.spacing_mm)
    grid.SetOrigin(slices.origin_mm)
    grid.SetDirection(slices.direction)
    return ReferenceSeries(series, files, headers, grid)


def find_reference(
    source: str | Path | Sequence[Series], mask: sitk.Image, wanted: str | None = None, part: str = ""
) -> ReferenceSeries:
    """The series that a mask belongs to.

    A CT wins over other modalities; only one on the mask's very grid is taken unasked.

    Args:
        source: folder with DICOM of one patient or more, other objects beside; or the series found there.
        mask: the mask to place.
        wanted: SeriesInstanceUID, or a part of the description, that chooses between several; the series it names
            may have another grid.
        part: `Series.part` of the volume, where `wanted` is a UID that several share (phases of a 4D-CT).

    Raises:
        DicomError: no series, or more than one, is left, or the only one has another grid than the mask.
    """
    found = known_series(source)
    images = [series for series in found if series.modality in IMAGE_MODALITIES]
    cts = [series for series in images if series.modality == "CT"]
    candidates = cts or images
    if wanted:
        chosen = choose_series(images, wanted, "ct_series")
        # a folder with one of the volumes alone needs nothing to tell it from the others
        candidates = [one for one in chosen if part and one.part == part] or chosen
    if not candidates:
        raise DicomError(f"reference_dicom holds no image series, but {listing(found)}")
    if len(candidates) == 1:
        reference = read_reference(candidates[0])
        if not wanted and not same_grid(mask, reference):
            raise DicomError(
                f"the only {reference.series.modality} of reference_dicom, {reference.series.label}, is not on "
                "the grid of the mask: it may be another scan, or another patient's; where it is right, name it "
                "with --ct_series (its UID or a part of its description), and the mask is resampled to it"
            )
        return reference
    fitting = [reference for reference in map(_read_or_none, candidates) if reference and same_grid(mask, reference)]
    if len(fitting) == 1:
        return fitting[0]
    raise DicomError(
        f"reference_dicom holds {len(candidates)} series the mask may belong to, and {len(fitting) or 'none'} of "
        f"them on its grid: choose one with --ct_series (its UID or a part of its description): {listing(candidates)}"
    )


def known_series(source: str | Path | Sequence[Series]) -> Sequence[Series]:
    """Series of a folder, its unusable files named in the log; or the series themselves."""
    if not isinstance(source, str | Path):
        return source
    found, problems = find_series(source)
    for problem in problems:
        logger.warning("%s %s", problem.file.name, problem.reason)
    return found


def place_mask(mask: sitk.Image, reference: ReferenceSeries) -> sitk.Image:
    """The mask on the grid of the series: the very voxels where the grids agree but for flipped or swapped axes.

    A mask on another grid is resampled (linear, cut at one half), which the log says.

    Returns:
        uint8, 1 inside.

    Raises:
        DicomError: the mask is empty, or reaches outside the series, so belongs to another one.
    """
    inside = sitk.Cast(mask != 0, sitk.sitkUInt8)
    if not sitk.GetArrayViewFromImage(inside).any():
        raise DicomError("the mask is empty: there is nothing to draw, so no DICOM object is written")
    _check_inside(inside, reference)
    if same_grid(inside, reference):
        return sitk.Resample(inside, reference.grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    logger.warning("the mask is not on the grid of %s and is resampled to it", reference.series.label)
    placed = resampled(inside, reference.grid)
    if not sitk.GetArrayViewFromImage(placed).any():
        raise DicomError("the mask is smaller than a voxel of the series, nothing of it is left: nothing is written")
    return placed


def same_grid(image: sitk.Image, reference: ReferenceSeries) -> bool:
    """Whether the voxel centres coincide, axes flipped or swapped at will."""
    grid = reference.grid
    if sorted(image.GetSize()) != sorted(grid.GetSize()):
        return False
    corners, expected = (corners_mm(one.GetSize(), affine_of(one)) for one in (image, grid))
    distances = np.abs(corners[:, None] - expected[None]).max(axis=2)
    return bool(max(distances.min(axis=0).max(), distances.min(axis=1).max()) <= GRID_TOLERANCE_MM)


def _check_inside(inside: sitk.Image, reference: ReferenceSeries) -> None:
    outside = share_outside(inside, reference.grid)
    if outside > OUTSIDE_SHARE:
        raise DicomError(
            f"{100 * outside:.0f} % of the mask lies outside of {reference.series.label}: it was drawn on another "
            "image; give the series it belongs to as --reference_dicom"
        )


def _read_or_none(series: Series) -> ReferenceSeries | None:
    try:
        return read_reference(series)
    except DicomError as error:
        logger.warning("%s", error)
        return None
