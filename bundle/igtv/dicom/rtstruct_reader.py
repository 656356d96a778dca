"""RTSTRUCT -> masks, placed by the contours' own coordinates and never by the images they refer to."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from .contour_masks import Contour, contours_to_mask
from .errors import DicomError
from .whole_file import reading

LOGGER = logging.getLogger(__name__)

FRAME_OF_REFERENCE_KEY = "0020|0052"  # under which an image may carry its frame of reference
CLOSED_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_CONTOUR_DATA = Tag(0x3006, 0x0050)


@dataclass(frozen=True)
class Roi:
    """One region of interest: its closed contours, and what was left out of it."""

    number: int
    name: str
    frame_of_reference_uid: str
    contours: tuple[Contour, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StructureSet:
    """What an RTSTRUCT draws, and what was left out of it as a whole."""

    rois: tuple[Roi, ...]
    notes: tuple[str, ...]


def read_contours(
    rtstruct_path: str | Path, reference_image: sitk.Image, frame_of_reference_uid: str | None = None
) -> dict[str, sitk.Image]:
    """Masks of all ROIs of an RTSTRUCT on the grid of an image.

    Args:
        rtstruct_path: the RTSTRUCT file.
        reference_image: 3-D image that gives the grid; need not be the one the contours were drawn on.
        frame_of_reference_uid: that of `reference_image`; by default what the image carries under "0020|0052", else
            the only one of the RTSTRUCT.

    Returns:
        {ROI name: uint8 mask (0 or 1) with the geometry of `reference_image`}. ROIs without closed contours, in another
        frame of reference, or outside the image are left out, which is logged.

    Raises:
        DicomError: when the file is no whole RTSTRUCT, or none of its ROIs can be placed in the image.
    """
    structures = read_structure_set(rtstruct_path)
    file_name = Path(rtstruct_path).name
    try:
        masks, notes = structure_masks(structures, reference_image, frame_of_reference_uid=frame_of_reference_uid)
    except DicomError as error:
        raise DicomError(f"{file_name}: {error}") from error
    for note in notes:
        LOGGER.info("%s: %s", file_name, note)
    if not masks:
        raise DicomError(f"{file_name}: no ROI could be placed in the image: {'; '.join(notes) or 'it has none'}")
    return masks


def list_rois(rtstruct_path: str | Path) -> list[str]:
    """Names of the ROIs that have closed contours, in the order of the file."""
    structures = read_structure_set(rtstruct_path)
    return [name for name, roi in _named(structures.rois) if roi.contours]


def structure_masks(
    structures: StructureSet,
    reference_image: sitk.Image,
    names: Sequence[str] | None = None,
    frame_of_reference_uid: str | None = None,
) -> tuple[dict[str, sitk.Image], list[str]]:
    """Masks of some ROIs, with every decision in words.

    Args:
        structures: as read by `read_structure_set`.
        reference_image: as in `read_contours`.
        names: ROIs wanted; all by default.
        frame_of_reference_uid: as in `read_contours`.

    Returns:
        {ROI name: uint8 mask}, and the decisions.

    Raises:
        DicomError: when a ROI asked for by name cannot be placed in the image, or frames of reference are mixed and
            that of the image is not known.
    """
    named = dict(_named(structures.rois))
    unknown = [name for name in names or () if name not in named]
    if unknown:
        raise DicomError(f"no ROI is named {unknown[0]!r}; there are: {', '.join(named)}")
    frame = frame_of_reference_uid or carried_frame(reference_image) or _only_frame(structures)
    masks: dict[str, sitk.Image] = {}
    notes = list(structures.notes)
    for name in names if names is not None else named:
        roi = named[name]
        notes += [f"ROI {name!r}: {note}" for note in roi.notes]
        mask, why = _roi_mask(roi, reference_image, frame)
        if mask is not None:
            masks[name] = mask
            notes += [f"ROI {name!r}: {note}" for note in why]
        elif names is not None:
            raise DicomError(f"ROI {name!r} {why[0]}")
        else:
            notes.append(f"ROI {name!r} left out: {why[0]}")
    return masks, notes


def read_structure_set(rtstruct_path: str | Path) -> StructureSet:
    """Read an RTSTRUCT whole; numbers and sequences are checked, references to images are not trusted.

    Raises:
        DicomError: when the file is no RTSTRUCT, is cut off, or contradicts itself.
    """
    with reading(rtstruct_path) as dataset:
        return _structure_set(dataset)


def _structure_set(dataset: pydicom.Dataset) -> StructureSet:
    if str(dataset.get("Modality", "")) != "RTSTRUCT":
        raise DicomError(
            f"is no RTSTRUCT: its Modality (0008,0060) is {str(dataset.get('Modality', '')) or 'missing'!r}"
        )
    if not dataset.get("StructureSetROISequence"):
        raise DicomError("StructureSetROISequence (3006,0020) is missing or empty; export the structures again")
    if "ROIContourSequence" not in dataset:
        raise DicomError("ROIContourSequence (3006,0039) is missing: no contours; export the structures again")
    frames = _frames(dataset)
    described: dict[int, tuple[str, str]] = {}
    for item in dataset.StructureSetROISequence:
        number = int(item.ROINumber)
        if number in described:
            raise DicomError(f"two ROIs have the number {number}: contours cannot be told apart; export again")
        frame = str(item.get("ReferencedFrameOfReferenceUID", "") or (frames[0] if len(frames) == 1 else ""))
        described[number] = (str(item.get("ROIName", "")).strip() or f"ROI {number}", frame)
    contours: dict[int, list[Contour]] = {number: [] for number in described}
    left_out: dict[int, list[str]] = {number: [] for number in described}
    notes = []
    for item in dataset.ROIContourSequence or ():
        number = int(item.ReferencedROINumber)
        if number not in described:
            notes.append(f"contours of ROI number {number}, which has no name and no frame of reference, left out")
            continue
        closed, dropped = _closed_contours(item.get("ContourSequence") or (), described[number][0])
        contours[number] += closed
        left_out[number] += dropped
    rois = tuple(
        Roi(number, name, frame, tuple(contours[number]), tuple(left_out[number]))
        for number, (name, frame) in described.items()
    )
    return StructureSet(rois, tuple(notes))


def _frames(dataset: pydicom.Dataset) -> list[str]:
    """Frames of reference that the structure set as a whole names."""
    uids = [
        str(item.get("FrameOfReferenceUID", "")) for item in dataset.get("ReferencedFrameOfReferenceSequence") or ()
    ]
    uids = [uid for uid in dict.fromkeys(uids) if uid]
    return uids or [str(uid) for uid in [dataset.get("FrameOfReferenceUID")] if uid]


def _closed_contours(items: Sequence[pydicom.Dataset], name: str) -> tuple[list[Contour], list[str]]:
    """Closed contours of one ROI, and in words what else there was."""
    contours, others = [], {}
    for item in items:
        points = _points(item, name)
        kind = str(item.get("ContourGeometricType", "") or "CLOSED_PLANAR").strip()
        if kind not in CLOSED_TYPES:
            others[f"{kind} contours"] = others.get(f"{kind} contours", 0) + 1
        elif len(np.unique(points, axis=0)) < 3:
            others["contours of fewer than 3 points"] = others.get("contours of fewer than 3 points", 0) + 1
        else:
            contours.append(Contour(points, xor=kind != "CLOSED_PLANAR"))
    return contours, [f"{number} {what} enclose nothing and are left out" for what, number in others.items()]


def _points(item: pydicom.Dataset, name: str) -> np.ndarray:
    """(N, 3) vertices of one contour, patient mm."""
    if _CONTOUR_DATA not in item:
        raise DicomError(f"ROI {name!r}: a contour has no ContourData (3006,0050); export it again")
    raw = item.get_item(_CONTOUR_DATA)
    # a contour may have thousands of numbers: as one array they are read a hundred times faster than one by one
    text = raw.value.decode("ascii").strip(" \0") if isinstance(raw, RawDataElement) and raw.value else None
    numbers = text.split("\\") if text is not None else list(item.ContourData or ())
    try:
        values = np.array([float(number) for number in numbers], dtype=np.float64)
    except ValueError as error:
        raise DicomError(f"ROI {name!r}: ContourData (3006,0050) holds something that is no number: {error}") from error
    stated = item.get("NumberOfContourPoints")
    if len(values) % 3 or (stated not in (None, "") and int(stated) * 3 != len(values)):
        raise DicomError(
            f"ROI {name!r}: a contour has {len(values)} coordinates where NumberOfContourPoints (3006,0046) says "
            f"{stated} points: it is cut off or damaged; export it again"
        )
    if not np.isfinite(values).all():
        raise DicomError(f"ROI {name!r}: ContourData (3006,0050) holds a number that is not finite")
    offset = item.get("ContourOffsetVector")
    if offset and any(float(x) for x in offset):
        raise DicomError(
            f"ROI {name!r}: ContourOffsetVector (3006,0045) is retired from the standard, so that systems "
            "differ in what it means; export the contours without it"
        )
    return values.reshape(-1, 3)


def _named(rois: Sequence[Roi]) -> list[tuple[str, Roi]]:
    """Names that tell ROIs apart: where several share one, the number is added."""
    names = [roi.name for roi in rois]
    return [(roi.name if names.count(roi.name) == 1 else f"{roi.name} (number {roi.number})", roi) for roi in rois]


def carried_frame(image: sitk.Image) -> str:
    return (
        image.GetMetaData(FRAME_OF_REFERENCE_KEY).strip(" \0") if image.HasMetaDataKey(FRAME_OF_REFERENCE_KEY) else ""
    )


def _only_frame(structures: StructureSet) -> str:
    frames = sorted({roi.frame_of_reference_uid for roi in structures.rois if roi.contours})
    if len(frames) > 1:
        raise DicomError(
            f"its ROIs lie in {len(frames)} frames of reference ({', '.join(uid or 'none' for uid in frames)}), and "
            "that of the image is not known: give frame_of_reference_uid"
        )
    return frames[0] if frames else ""


def _roi_mask(roi: Roi, image: sitk.Image, frame: str) -> tuple[sitk.Image | None, list[str]]:
    """The mask and its decisions, or None and the reason."""
    if not roi.contours:
        return None, ["has no closed contours"]
    if frame and roi.frame_of_reference_uid and roi.frame_of_reference_uid != frame:
        return None, [f"lies in the frame of reference {roi.frame_of_reference_uid}, the image in {frame}"]
    try:
        mask, notes = contours_to_mask(roi.contours, image)
    except DicomError as error:
        raise DicomError(f"ROI {roi.name!r}: {error}") from error
    if not np.any(sitk.GetArrayViewFromImage(mask)):
        return None, ["encloses no voxel of the image: it lies outside, or is smaller than a voxel"]
    return mask, notes
