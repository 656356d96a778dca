"""Bits of stored pixels that are no part of a value: old systems kept overlays there, with names burned in."""

from collections.abc import Iterator

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ..errors import DicomError, missing

_UNCOMPRESSED = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_BIT_POSITION, _DATA = 0x0102, 0x3000  # elements of an overlay's group


def without_unused_bits(dataset: Dataset) -> DataElement | RawDataElement:
    """PixelData with nothing in the bits outside of BitsStored and HighBit; negative values fill those above.

    Args:
        dataset: has PixelData; left as it is.

    Returns:
        The very element of the data set where nothing is in these bits but the sign.

    Raises:
        DicomError: when an overlay lies in compressed pixels or within the values, or what describes the bits is
            missing or contradicts itself.
    """
    element = dataset.get_item("PixelData")
    if not element.value:
        return element
    if _syntax(dataset) not in _UNCOMPRESSED:
        _refuse_compressed_overlay(dataset)
        return element
    allocated, stored, lowest = _layout(dataset)
    _refuse_overlay_in_values(dataset, lowest, stored)
    if allocated == stored:
        return element
    original = bytes(element.value)
    cleared = _cleared(_values(dataset, original, allocated), dataset.get("PixelRepresentation") == 1, stored, lowest)
    return element if cleared == original else DataElement(element.tag, element.VR or "OW", cleared)


def _syntax(dataset: Dataset) -> str:
    return getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or ImplicitVRLittleEndian


def _layout(dataset: Dataset) -> tuple[int, int, int]:
    """Bits of a pixel, bits of its value, and the lowest bit of the value."""
    for keyword in ("BitsAllocated", "BitsStored"):
        if dataset.get(keyword) in (None, ""):
            raise missing(
                dataset, keyword, "what lies beside the values of its pixels is not known; export the file again"
            )
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    high = stored - 1 if dataset.get("HighBit") in (None, "") else dataset.HighBit
    if not 1 <= stored <= high + 1 <= allocated:
        raise DicomError(
            f"HighBit {high}, BitsStored {stored} and BitsAllocated {allocated} do not fit together; export the file "
            "again"
        )
    return allocated, stored, high + 1 - stored


def _values(dataset: Dataset, original: bytes, allocated: int) -> np.ndarray:
    """Pixels as unsigned integers."""
    if allocated not in (8, 16, 32, 64) or len(original) * 8 % allocated:
        raise DicomError(
            f"PixelData of {len(original)} bytes does not hold whole pixels of {allocated} bits (BitsAllocated), so "
            "that their unused bits cannot be cleared; export the file again"
        )
    return np.frombuffer(original, f"{'<' if dataset.is_little_endian else '>'}u{allocated // 8}")


def _cleared(values: np.ndarray, signed: bool, stored: int, lowest: int) -> bytes:
    bits = np.iinfo(values.dtype).bits
    number = values.dtype.type
    value_bits = (1 << stored) - 1 << lowest
    if not (values & number(~value_bits & (1 << bits) - 1)).any():
        return values.tobytes()
    cleared = values & number(value_bits)
    if signed:
        above = (1 << bits) - (1 << lowest + stored)
        cleared[cleared >= 1 << lowest + stored - 1] |= number(above)
    return cleared.astype(values.dtype).tobytes()


def _overlays(dataset: Dataset) -> Iterator[tuple[str, int, bool]]:
    """Group of every overlay, the bit of the pixels that it lies in, and whether it has data of its own."""
    for group in sorted({tag.group for tag in dataset.keys() if tag.group >> 8 == 0x60}):  # noqa: SIM118
        position = dataset.get((group, _BIT_POSITION))
        data = dataset.get((group, _DATA))
        yield f"{group:04X}", int(position.value or 0) if position else 0, bool(data and data.value)


def _refuse_compressed_overlay(dataset: Dataset) -> None:
    for group, position, has_data in _overlays(dataset):
        if position > 0 or not has_data:
            held = f"OverlayBitPosition {position}" if position > 0 else "no OverlayData"
            raise DicomError(
                f"overlay {group} may lie in its compressed pixels ({held}), where it cannot be cleared; decompress "
                "the file first"
            )


def _refuse_overlay_in_values(dataset: Dataset, lowest: int, stored: int) -> None:
    for group, position, _ in _overlays(dataset):
        if position > 0 and lowest <= position < lowest + stored:
            raise DicomError(
                f"overlay {group} lies in bit {position} (OverlayBitPosition), which HighBit and BitsStored count to "
                "the values: it cannot be cleared without changing them; export the file without overlays"
            )
