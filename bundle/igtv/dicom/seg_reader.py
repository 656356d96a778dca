"""DICOM SEG -> masks; frames placed one by one by their own position, whatever their order."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from .errors import DicomError
from .ohif_export import exported_by_ohif
from .rtstruct_reader import carried_frame
from .whole_file import reading

LOGGER = logging.getLogger(__name__)

# positions of one plane, mm
SAME_POSITION_MM = 0.01
# frames may leave the regular spacing by this share of it
IRREGULAR_SHARE = 0.05
FOREGROUND = 0.5  # of a fractional segmentation


def read_segmentation(
    path: str | Path, reference_image: sitk.Image, frame_of_reference_uid: str | None = None
) -> dict[str, sitk.Image]:
    """Masks of all segments of a DICOM SEG (binary, fractional or label map) on the grid of an image.

    Args:
        path: the SEG file.
        reference_image: 3-D image that gives the grid; another grid than the stored one is sampled at its voxels'
            centres (nearest neighbour).
        frame_of_reference_uid: that of `reference_image`; by default what the image carries under "0020|0052"; without
            either it is not checked.

    Returns:
        {segment label: uint8 mask (0 or 1) with the geometry of `reference_image`}; segments with no voxel in the image
        are left out, which is logged. Fractions from 0.5 count as inside. The background of a label map is no segment.

    Raises:
        DicomError: when the file is no whole SEG, was exported by OHIF, lies in another frame of reference, or no
            segment meets the image.
    """
    masks: dict[str, sitk.Image] = {}
    with reading(path) as dataset:
        if exported_by_ohif(dataset):
            raise DicomError(
                "was exported by OHIF, which can write its slices in reverse order (OHIF/Viewers issue 5183): submit "
                "the label through the annotation server, or export it from another program or as RTSTRUCT"
            )
        for name, stored in _segments(dataset, frame_of_reference_uid or carried_frame(reference_image)):
            mask = sitk.Resample(stored, reference_image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
            if np.any(sitk.GetArrayViewFromImage(mask)):
                masks[name] = mask
            else:
                LOGGER.info("%s: segment %r has no voxel in the image, left out", Path(path).name, name)
        if not masks:
            raise DicomError("no segment has a voxel in the image: all are empty or lie outside of it")
    return masks


def list_segments(path: str | Path) -> list[str]:
    """Labels of the segments, in the order of the file."""
    with reading(path) as dataset:
        _check_kind(dataset)
        return list(_labels(dataset).values())


def _check_kind(dataset: pydicom.Dataset) -> None:
    if str(dataset.get("Modality", "")) != "SEG" or not dataset.get("SegmentSequence"):
        modality = str(dataset.get("Modality", "")) or "missing"
        raise DicomError(f"is no DICOM SEG with segments: its Modality (0008,0060) is {modality!r}")


def _is_label_map(dataset: pydicom.Dataset) -> bool:
    return str(dataset.get("SegmentationType", "")) == "LABELMAP"


def _labels(dataset: pydicom.Dataset) -> dict[int, str]:
    """Segment number -> label; where several share one, the number is added."""
    # a label map describes its background as one more segment, numbered as its pixels are padded
    background = int(dataset.get("PixelPaddingValue") or 0) if _is_label_map(dataset) else None
    numbers = [int(item.SegmentNumber) for item in dataset.SegmentSequence]
    labels = {
        number: str(item.get("SegmentLabel", "")).strip() or f"segment {number}"
        for number, item in zip(numbers, dataset.SegmentSequence, strict=True)
        if number != background
    }
    names = list(labels.values())
    return {n: name if names.count(name) == 1 else f"{name} (number {n})" for n, name in labels.items()}


def _segments(dataset: pydicom.Dataset, frame: str) -> list[tuple[str, sitk.Image]]:
    """Label and mask of each segment that has frames, on the grid it is stored on."""
    _check_kind(dataset)
    own_frame = str(dataset.get("FrameOfReferenceUID", ""))
    if frame and own_frame and own_frame != frame:
        raise DicomError(f"lies in the frame of reference {own_frame}, the image in {frame}")
    planes = _inside(dataset)  # (frames, rows, columns)
    items = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if len(items) != len(planes):
        raise DicomError(f"has {len(planes)} frames but positions of {len(items)}; export it again")
    direction, spacing = _common(dataset, items)
    positions = np.array([_group(dataset, item, "PlanePositionSequence").ImagePositionPatient for item in items], float)
    heights = positions @ direction[:, 2]
    origin, step, rows = _regular(heights, positions, direction, _stated_spacing(dataset, items, spacing))
    label_map = _is_label_map(dataset)
    numbers = np.array([0 if label_map else _segment_number(dataset, item) for item in items])
    segments = []
    for number, name in _labels(dataset).items():
        own = np.flatnonzero(numbers == (0 if label_map else number))
        volume = np.zeros((rows.max() + 1, *planes.shape[1:]), np.uint8)
        filled = np.zeros(len(volume), bool)
        for k in own:
            plane = planes[k] == number if label_map else planes[k] > 0
            if filled[rows[k]] and (volume[rows[k]] != plane).any():
                raise DicomError(f"segment {name!r} has two different frames at one position; it cannot be one mask")
            volume[rows[k]], filled[rows[k]] = plane, True
        if not filled.any():
            continue
        mask = sitk.GetImageFromArray(volume)
        mask.SetOrigin([float(x) for x in origin])
        mask.SetSpacing([float(spacing[1]), float(spacing[0]), float(step)])
        mask.SetDirection([float(x) for x in direction.ravel()])
        segments.append((name, mask))
    return segments


def _inside(dataset: pydicom.Dataset) -> np.ndarray:
    """(frames, rows, columns): 0 or 1, or the segment's number in a label map."""
    try:
        pixels = dataset.pixel_array
    except Exception as error:  # each decoder has errors of its own
        raise DicomError(f"its pixels cannot be decoded ({type(error).__name__}: {error})") from error
    # a file of one frame comes without an axis for it
    pixels = pixels.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    kind = str(dataset.get("SegmentationType", ""))
    if kind == "FRACTIONAL":
        return (pixels >= FOREGROUND * int(dataset.MaximumFractionalValue)).astype(np.uint8)
    if kind not in ("BINARY", "LABELMAP"):
        raise DicomError(f"SegmentationType (0062,0001) is {kind!r}; BINARY, FRACTIONAL and LABELMAP are read")
    return pixels


def _group(dataset: pydicom.Dataset, item: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """A functional group of one frame: its own, else the one all frames share."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    group = item.get(keyword) or shared.get(keyword)
    if not group:
        raise DicomError(f"{keyword} is missing: the frames cannot be placed in the patient; export it again")
    return group[0]


def _segment_number(dataset: pydicom.Dataset, item: pydicom.Dataset) -> int:
    return int(_group(dataset, item, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _common(dataset: pydicom.Dataset, items: Sequence[pydicom.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Direction (3, 3; columns: along rows, along columns, normal) and pixel spacing (between rows, columns), mm."""
    cosines = np.array(
        [_group(dataset, item, "PlaneOrientationSequence").ImageOrientationPatient for item in items], float
    )
    spacings = np.array([_group(dataset, item, "PixelMeasuresSequence").PixelSpacing for item in items], float)
    if np.ptp(cosines, axis=0).max() > 1e-4 or np.ptp(spacings, axis=0).max() > 1e-4:
        raise DicomError("its frames have different orientations or pixel spacings; it cannot be one mask")
    row, column = cosines[0, :3], cosines[0, 3:]
    normal = np.cross(row, column)
    if not np.isclose(np.linalg.norm(normal), 1, atol=1e-2) or spacings.min() <= 0:
        raise DicomError("its ImageOrientationPatient or PixelSpacing describes no image; export it again")
    return np.stack([row, column, normal], axis=1), spacings[0]


def _stated_spacing(dataset: pydicom.Dataset, items: Sequence[pydicom.Dataset], spacing: np.ndarray) -> float:
    """Slice spacing that the file states, mm."""
    measures = _group(dataset, items[0], "PixelMeasuresSequence")
    stated = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    return abs(float(stated)) if stated else float(spacing.max())


def _regular(
    heights: np.ndarray, positions: np.ndarray, direction: np.ndarray, stated: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Origin (3,), slice spacing in mm and slice number of each frame; slices without a frame are empty ones."""
    planes = np.sort(heights)
    planes = planes[np.concatenate([[True], np.diff(planes) > SAME_POSITION_MM])]
    step = float(np.diff(planes).min()) if len(planes) > 1 else stated
    # empty frames are mostly left out: slices at least as dense as stated, where the positions agree with that
    share = step / stated if stated else 0.0
    agrees = round(share) >= 1 and abs(share - round(share)) <= IRREGULAR_SHARE * round(share)
    if agrees:
        step = step / round(share)
    elif len(planes) > 2 and np.ptp(np.diff(planes)) > IRREGULAR_SHARE * step:
        raise DicomError(
            f"its frames are not evenly spaced: {step:.2f} mm apart, or more, where it says {stated:.2f} mm"
        )
    if not step > 0:
        raise DicomError("its slice spacing is 0; export it again")
    numbers = np.rint((heights - planes[0]) / step)
    # the smallest step carries the rounding of the file; over all slices it averages out
    if numbers.max() > 0:
        step = float((heights @ numbers - planes[0] * numbers.sum()) / (numbers @ numbers))
    if np.abs(heights - planes[0] - numbers * step).max() > IRREGULAR_SHARE * step:
        raise DicomError("its frames are not evenly spaced; it cannot be one mask")
    lowest = positions[np.argmin(heights)]
    beside = positions - lowest - np.outer(heights - heights.min(), direction[:, 2])
    if np.abs(beside).max() > IRREGULAR_SHARE * step:
        raise DicomError("its frames do not lie straight above each other; it cannot be one mask")
    return lowest, step, numbers.astype(int)
