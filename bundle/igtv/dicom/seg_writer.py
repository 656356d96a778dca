"""Masks or probabilities as a DICOM SEG on the frames of the CT, coded as a neoplasm, through highdicom."""

import copy
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ..files import replacing
from .contour_source import MANUFACTURER, ContourSource, long_string
from .errors import DicomError
from .reference_series import ReferenceSeries, place_mask, same_grid
from .rtstruct_writer import EMPTY_IF_UNKNOWN, check_roi_name, number_text

CATEGORY = codes.SCT.MorphologicallyAbnormalStructure  # CID 7150
PROPERTY_TYPE = codes.SCT.Neoplasm  # CID 7159; primary or metastatic is for the reader to say
FRACTIONAL_STEPS = 255

logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies


def write_segmentation(
    path: str | Path,
    masks: Mapping[str, sitk.Image],
    reference: ReferenceSeries,
    *,
    probability: sitk.Image | None = None,
    source: ContourSource = ContourSource(),  # noqa: B008  (frozen)
) -> Path:
    """Write masks as the segments of one binary SEG, or one probability map as a fractional SEG.

    Args:
        path: the file; replaced in one step.
        masks: segment label -> mask, non-zero inside; on the grid of the series, else resampled to it.
        reference: the series they were drawn on.
        probability: foreground probability in [0, 1] on the grid of the series; stored in 255 steps instead of the
            only mask, which must not be empty either.
        source: what drew them.

    Returns:
        `path`.

    Raises:
        DicomError: a mask is empty or lies outside the series, or the probability is on another grid; nothing is
            written then.
        ValueError: no mask, a label that DICOM does not know, or a probability for several masks or beyond [0, 1].
    """
    if not masks:
        raise ValueError("no mask given: a SEG needs at least one segment")
    segments = []
    for name, mask in masks.items():
        check_roi_name(name)
        try:
            segments.append(sitk.GetArrayFromImage(place_mask(mask, reference)))
        except DicomError as error:
            raise DicomError(f"segment {name}: {error}") from error
    frames = np.stack(segments, axis=-1)  # (z, y, x, segment)
    if probability is not None:
        frames = _fractional_frames(probability, masks, reference)[..., None]
    dataset = _segmentation(frames, list(masks), reference, source)
    with replacing(path) as temporary:
        dataset.save_as(temporary, write_like_original=False)
    return Path(path)


def _fractional_frames(
    probability: sitk.Image, masks: Mapping[str, sitk.Image], reference: ReferenceSeries
) -> np.ndarray:
    """The map (z, y, x) on the frames of the series; what rounds to nothing is left out."""
    if len(masks) != 1:
        raise ValueError(f"a fractional SEG holds one probability map, {len(masks)} masks were given")
    values = sitk.GetArrayViewFromImage(probability)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError("the probability map holds values beyond [0, 1]")
    if not same_grid(probability, reference):
        raise DicomError(
            f"the probability map is not on the grid of {reference.series.label}; give the map that belongs to the mask"
        )
    placed = sitk.Resample(probability, reference.grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkFloat32)
    return np.round(sitk.GetArrayFromImage(placed) * FRACTIONAL_STEPS) / FRACTIONAL_STEPS


def _segmentation(
    frames: np.ndarray, names: list[str], reference: ReferenceSeries, source: ContourSource
) -> hd.seg.Segmentation:
    fractional = frames.dtype.kind == "f"
    kind = hd.seg.SegmentationTypeValues.FRACTIONAL if fractional else hd.seg.SegmentationTypeValues.BINARY
    # a code begins with a letter and ends with no blank or underscore
    label = re.sub("[^A-Z0-9_ ]", "_", names[0].upper()).lstrip("0123456789 _")[:16].rstrip(" _") or "SEG"
    dataset = hd.seg.Segmentation(
        source_images=[_with_type_2(header) for header in reference.headers],
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=[_description(number, name, source) for number, name in enumerate(names, start=1)],
        series_instance_uid=generate_uid(prefix=None),
        series_number=1,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=source.name(),
        software_versions=long_string(source.version),
        device_serial_number=source.weights_sha256 or "unknown",
        max_fractional_value=FRACTIONAL_STEPS,
        content_description=long_string(f"{names[0]}, not approved, research software"),
        content_label=label,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # set afterwards: highdicom takes the patient's name over, but not the character set that it needs
    if reference.headers[0].get("SpecificCharacterSet"):
        dataset.SpecificCharacterSet = reference.headers[0].SpecificCharacterSet
    dataset.SeriesDescription = long_string(f"{names[0]}, not approved")
    # set afterwards: highdicom takes measures other than the CT's, whose thickness may be wrong, for another grid
    (measures,) = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    measures.SpacingBetweenSlices = measures.SliceThickness = number_text(reference.grid.GetSpacing()[2])
    return dataset


def _description(number: int, name: str, source: ContourSource) -> hd.seg.SegmentDescription:
    identification = None
    if source.algorithm != "MANUAL":
        identification = hd.AlgorithmIdentificationSequence(
            name=source.name(),
            family=codes.DCM.ArtificialIntelligence,
            version=long_string(source.version),
            source=MANUFACTURER,
            parameters=source.parameters() or None,
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=CATEGORY,
        segmented_property_type=PROPERTY_TYPE,
        algorithm_type=source.algorithm,
        algorithm_identification=identification,
        tracking_uid=generate_uid(prefix=None),
        tracking_id=name,
    )


def _with_type_2(header: Dataset) -> Dataset:
    """A header in which what must be there is there, at least empty; highdicom reads it without asking."""
    absent = [keyword for keyword in EMPTY_IF_UNKNOWN if keyword not in header]
    if not absent:
        return header
    header = copy.copy(header)
    for keyword in absent:
        setattr(header, keyword, None)
    return header
