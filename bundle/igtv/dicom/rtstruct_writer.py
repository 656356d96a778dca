"""Masks as an RTSTRUCT that planning systems open: contours on the slices of the CT, unapproved, their origin told.

Written to the letter of PS3.3 A.19. Numbers have at most 16 characters (longer ones make files unreadable in some
planning systems), and the file is implicit little endian, whose values may be longer than 64 kB.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from ..files import replacing
from .contour_source import MANUFACTURER, ContourSource, long_string
from .errors import DicomError
from .mask_contours import mask_contours
from .reference_series import ReferenceSeries, place_mask

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"  # retired, and still what planning systems expect of the study's reference
ROI_TYPES = ("GTV", "CTV", "PTV", "ORGAN", "AVOIDANCE", "CONTROL")
COLOURS = ((255, 64, 64), (64, 200, 255), (255, 200, 0), (160, 90, 255), (0, 220, 120), (255, 120, 220))
DECIMALS = 6  # of a coordinate in mm; -123456.123456 has 14 characters
NAME_LENGTH = 64
# Of the patient and the study as the CT has them, so that archives file the object beside it.
COPIED = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
CLINICAL_TRIAL_GROUP = 0x0012  # also what was done to de-identify
# Must be there, with no value where nobody knows it (type 2).
EMPTY_IF_UNKNOWN = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "PositionReferenceIndicator",
    "OperatorsName",
)


def write_rtstruct(
    path: str | Path,
    masks: Mapping[str, sitk.Image],
    reference: ReferenceSeries,
    *,
    source: ContourSource = ContourSource(),  # noqa: B008  (frozen)
    roi_type: str = "GTV",
    label: str | None = None,
) -> Path:
    """Write masks as one structure set, one ROI each.

    Args:
        path: the file; replaced in one step.
        masks: ROI name -> mask, non-zero inside; on the grid of the series, else resampled to it.
        reference: the series they were drawn on.
        source: what drew them.
        roi_type: RT ROI Interpreted Type.
        label: of the structure set, at most 16 characters; by default the first ROI's name.

    Returns:
        `path`.

    Raises:
        DicomError: a mask is empty or lies outside the series; nothing is written then.
        ValueError: no mask, or a name or type that DICOM does not know.
    """
    if not masks:
        raise ValueError("no mask given: an RTSTRUCT needs at least one ROI")
    if roi_type not in ROI_TYPES:
        raise ValueError(f"roi_type is '{roi_type}'; it must be one of {', '.join(ROI_TYPES)}.")
    dataset = _structure_set(reference, source, label or check_roi_name(next(iter(masks))))
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        check_roi_name(name)
        try:
            placed = place_mask(mask, reference)
        except DicomError as error:
            raise DicomError(f"ROI {name}: {error}") from error
        dataset.StructureSetROISequence.append(_roi(number, name, placed, reference, source))
        dataset.ROIContourSequence.append(_contours(number, placed, reference))
        dataset.RTROIObservationsSequence.append(_observation(number, roi_type))
    with replacing(path) as temporary:
        dataset.save_as(temporary, write_like_original=False)
    return Path(path)


def check_roi_name(name: str) -> str:
    """`name`, if every planning system can show it.

    Raises:
        ValueError: when it is empty, too long, or holds other than plain characters.
    """
    if not re.fullmatch(rf"[ -\[\]-~]{{1,{NAME_LENGTH}}}", name) or name != name.strip():
        raise ValueError(
            f"ROI name {name!r}: up to {NAME_LENGTH} plain ASCII characters without backslash or outer blanks are "
            "possible (some planning systems show the first 16)."
        )
    return name


def number_text(value: float) -> str:
    """A coordinate as DICOM text (DS): at most 16 characters, no exponent.

    Raises:
        ValueError: when it does not fit.
    """
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    if len(text) > 16 or not np.isfinite(value):
        raise ValueError(f"{value} cannot be written as a coordinate in 16 characters")
    return "0" if text in ("-0", "") else text


def _structure_set(reference: ReferenceSeries, source: ContourSource, label: str) -> FileDataset:
    now = datetime.now()
    dataset = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, True
    _copy_patient_and_study(reference.headers[0], dataset)
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesNumber = "1"
    dataset.SeriesDescription = long_string(f"{label}, not approved")
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = source.name()
    dataset.SoftwareVersions = long_string(source.version)
    dataset.InstanceCreationDate = dataset.SeriesDate = dataset.StructureSetDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.SeriesTime = dataset.StructureSetTime = now.strftime("%H%M%S")
    dataset.StructureSetLabel = label[:16].strip()
    dataset.StructureSetName = long_string(label)
    dataset.StructureSetDescription = (
        f"{source.sentence()}. Research software, not a medical device: every contour must be reviewed."
    )
    dataset.InstanceNumber = "1"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(reference)]
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _copy_patient_and_study(header: Dataset, dataset: Dataset) -> None:
    for keyword in COPIED:
        if keyword in header:
            dataset[keyword] = header[keyword]
    for element in header.group_dataset(CLINICAL_TRIAL_GROUP):
        dataset[element.tag] = element
    for keyword in EMPTY_IF_UNKNOWN:
        if keyword not in dataset:
            setattr(dataset, keyword, None)


def _image_reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _frame_of_reference(reference: ReferenceSeries) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = reference.series.series_uid
    series.ContourImageSequence = [_image_reference(header) for header in reference.headers]
    study = Dataset()
    study.ReferencedSOPClassUID = DETACHED_STUDY
    study.ReferencedSOPInstanceUID = reference.series.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = reference.series.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(number: int, name: str, mask: sitk.Image, reference: ReferenceSeries, source: ContourSource) -> Dataset:
    voxel_ml = float(np.prod(mask.GetSpacing())) / 1000
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = reference.series.frame_of_reference_uid
    item.ROIName = name
    item.ROIDescription = source.sentence()
    item.ROIVolume = f"{int(sitk.GetArrayViewFromImage(mask).sum()) * voxel_ml:.4f}"[:16]
    item.ROIGenerationAlgorithm = source.algorithm
    item.ROIGenerationDescription = source.name()
    if source.model:
        item.ROIDerivationAlgorithmIdentificationSequence = [source.identification()]
    return item


def _contours(number: int, mask: sitk.Image, reference: ReferenceSeries) -> Dataset:
    contours = []
    origin = np.array(mask.GetOrigin())
    step = np.array(mask.GetDirection()).reshape(3, 3)[:, 2] * mask.GetSpacing()[2]
    for index, polygons in mask_contours(mask).items():
        shift = reference.plane_mm(index) - (origin + index * step)
        for polygon in polygons:
            contours.append(_contour(len(contours) + 1, polygon + shift, reference.headers[index]))
    item = Dataset()
    item.ROIDisplayColor = list(COLOURS[(number - 1) % len(COLOURS)])
    item.ReferencedROINumber = number
    item.ContourSequence = contours
    return item


def _contour(number: int, points_mm: np.ndarray, header: Dataset) -> Dataset:
    item = Dataset()
    item.ContourNumber = number
    item.ContourImageSequence = [_image_reference(header)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points_mm)
    item.ContourData = _texts(points_mm.ravel())
    return item


def _texts(values: Sequence[float]) -> list[str]:
    return [number_text(value) for value in values]


def _observation(number: int, roi_type: str) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIInterpretedType = roi_type
    item.ROIInterpreter = ""
    return item
