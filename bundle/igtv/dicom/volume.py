"""A series as a SimpleITK volume in the units of its modality (CT: HU)."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .geometry import SliceStack, stack
from .pixels import pixel_values
from .series import Series, load_series

__all__ = ["as_int16", "pixel_values", "read_stack", "read_volume", "rescale"]

AIR_HU = -1024.0
# Values that no tissue has: a padding value above may equal true voxels and is left alone.
NO_TISSUE_HU = -1000.0


def read_volume(series: Series | str | Path) -> tuple[sitk.Image, list[str]]:
    """Slices stacked by position, slope and intercept of each slice applied.

    Args:
        series: a series, or a folder with one image series.

    Returns:
        The float32 image (CT in HU, PET in its own Units) and the decisions taken.

    Raises:
        DicomError: see `geometry.stack` and `pixel_values`; or slope or intercept is missing.
    """
    if not isinstance(series, Series):
        series = load_series(series)
    return read_stack(series, stack(series))


def read_stack(series: Series, grid: SliceStack) -> tuple[sitk.Image, list[str]]:
    """`read_volume` of a series whose stack is known."""
    decisions = list(grid.decisions)
    slices, padded = [], 0
    for index in grid.order:
        try:
            values, padding = _slice(series, index)
        except DicomError:
            raise
        except (TypeError, ValueError) as error:  # a number that is none
            raise DicomError(f"{series.files[index].name} is damaged ({error}); export it again") from error
        padded += padding
        slices.append(values)
    if padded:
        decisions.append(f"{padded} padding voxels set to {AIR_HU:g} HU")
    if len({(series.headers[index].RescaleSlope, series.headers[index].RescaleIntercept) for index in grid.order}) > 1:
        decisions.append("slope or intercept differs between slices, each applied to its own")
    return to_image(np.stack(slices), grid), decisions


def rescale(header: Dataset, path: Path) -> tuple[float, float]:
    """Slope and intercept of one slice.

    Raises:
        DicomError: one is missing, no number, or the slope is 0; or the values need a lookup table.
    """
    if header.get("ModalityLUTSequence"):
        raise DicomError(f"{path.name}: its values need a lookup table (ModalityLUTSequence), which is not read")
    values = []
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if header.get(keyword) in (None, ""):
            raise missing(header, keyword, "stored values cannot be turned into HU or activity; export it again", path)
        try:
            values.append(float(header.get(keyword)))
        except (TypeError, ValueError):
            values.append(float("nan"))
        if not np.isfinite(values[-1]):
            raise DicomError(f"{path.name}: {tag_name(keyword)} is {header.get(keyword)}, a number is needed")
    if values[0] == 0:
        raise DicomError(f"{path.name}: {tag_name('RescaleSlope')} is 0; export it again")
    return values[0], values[1]


def to_image(voxels: np.ndarray, grid: SliceStack) -> sitk.Image:
    """Voxels (z, y, x) on a stack's grid, as float32."""
    image = sitk.GetImageFromArray(voxels.astype(np.float32, copy=False))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image


def as_int16(image: sitk.Image) -> sitk.Image:
    """HU in whole numbers of 16 bits; metal beyond their range stays at its end, where a cast would make it air."""
    limits = np.iinfo(np.int16)
    within = sitk.Clamp(image, sitk.sitkFloat32, float(limits.min), float(limits.max))
    return sitk.Cast(sitk.Round(within), sitk.sitkInt16)


def _slice(series: Series, index: int) -> tuple[np.ndarray, int]:
    """One slice in modality units, (y, x), and how many voxels of it were padding."""
    header, path = series.headers[index], series.files[index]
    slope, intercept = rescale(header, path)
    stored = pixel_values(path)
    values = (stored * slope + intercept).astype(np.float32)
    if series.modality != "CT" or header.get("PixelPaddingValue") in (None, ""):
        return values, 0
    limits = sorted([_stored(header, "PixelPaddingValue"), _stored(header, "PixelPaddingRangeLimit")])
    if limits[1] * slope + intercept >= NO_TISSUE_HU:
        return values, 0
    padding = (stored >= limits[0]) & (stored <= limits[1]) & (values != AIR_HU)
    values[padding] = AIR_HU
    return values, int(padding.sum())


def _stored(header: Dataset, keyword: str) -> int:
    """A stored value; unsigned ones of signed images are printed by some writers as two's complement."""
    value = header.get(keyword)
    if value in (None, ""):
        value = header.PixelPaddingValue
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little" if header.is_little_endian else "big")
    value = int(value)
    bits = int(header.get("BitsAllocated") or 16)
    if header.get("PixelRepresentation") == 1 and value >= 1 << (bits - 1):
        value -= 1 << bits
    if header.get("PixelRepresentation") == 0 and value < 0:
        value += 1 << bits
    return value
