"""Stored pixel values of one file, in any transfer syntax."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless

from .errors import DicomError, missing

_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")


def pixel_values(path: str | Path) -> np.ndarray:
    """Stored values, before slope and intercept.

    Uncompressed and run-length files are decoded by pydicom, all others by SimpleITK (JPEG, JPEG 2000, JPEG-LS).

    Args:
        path: an image of one frame and one sample per pixel.

    Returns:
        Integers (rows, columns).

    Raises:
        DicomError: attributes that describe the pixels are missing, the pixels are cut off or cannot be decoded, or
            the image has several frames or colours.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, force=True)
    except Exception as error:  # the parser has no error class of its own
        raise DicomError(f"{path.name} is damaged ({type(error).__name__}); export it again") from error
    _check(dataset, path)
    try:
        compressed = dataset.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian).is_compressed
        if compressed and dataset.file_meta.TransferSyntaxUID != RLELossless:
            values = _decode(dataset, path)
        else:
            dataset.file_meta.TransferSyntaxUID = dataset.file_meta.get(
                "TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian
            )
            values = _without_unused_bits(dataset.pixel_array, dataset)
    except DicomError:
        raise
    except Exception as error:  # decoders raise what they like
        raise DicomError(f"{path.name}: its pixels cannot be decoded ({error}); export it again") from error
    if values.shape != (dataset.Rows, dataset.Columns):
        raise DicomError(f"{path.name}: pixels {values.shape} do not fit Rows x Columns; export the file again")
    return values


def _check(dataset: FileDataset, path: Path) -> None:
    for keyword in _NEEDED:
        if dataset.get(keyword) in (None, ""):
            raise missing(dataset, keyword, "the pixels cannot be read without it; export the file again", path)
    if "PixelData" not in dataset:
        raise DicomError(f"{path.name} has no PixelData (7FE0,0010); it is cut off or no image")
    if dataset.SamplesPerPixel != 1:
        raise DicomError(f"{path.name} is a colour picture (SamplesPerPixel {dataset.SamplesPerPixel}), no CT or PET")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise DicomError(
            f"{path.name} holds {dataset.NumberOfFrames} frames (enhanced or multi-frame DICOM), which is not read; "
            "export the series as single-frame CT or PET images"
        )
    if dataset.HighBit != dataset.BitsStored - 1 or not 1 <= dataset.BitsStored <= dataset.BitsAllocated:
        raise DicomError(
            f"{path.name}: HighBit {dataset.HighBit}, BitsStored {dataset.BitsStored} and BitsAllocated "
            f"{dataset.BitsAllocated} do not fit together; export the file again"
        )


def _without_unused_bits(values: np.ndarray, dataset: FileDataset) -> np.ndarray:
    """Bits above BitsStored may hold an overlay of old systems; they are no part of the value (PS3.5, 8.1.1)."""
    unused = dataset.BitsAllocated - dataset.BitsStored
    if unused == 0:
        return values
    # shifted up and down again in the array's own signedness: the sign bit spreads for signed values
    return np.right_shift(np.left_shift(values, unused), unused)


def _decode(dataset: FileDataset, path: Path) -> np.ndarray:
    """SimpleITK applies slope and intercept, which are taken off again: the rest of the path is then the same."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    values = sitk.GetArrayFromImage(reader.Execute())
    values = values.reshape(values.shape[-2:])
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    return np.rint((values.astype(np.float64) - intercept) / slope).astype(np.int64)
