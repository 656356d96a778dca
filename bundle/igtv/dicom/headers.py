"""Headers of DICOM files as they are found on disks: without preamble, cut off, or no DICOM at all."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

# What grouping, geometry, SUV, 4D-CT phases and pairing ask of a header. Everything else stays on disk, so that a
# tree of a hundred thousand files fits in memory; whoever needs more reads the file itself.
KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "ContentDate",
    "ContentTime",
    "ContentLabel",
    "ProtocolName",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "ConvolutionKernel",
    "ImageComments",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "GantryDetectorTilt",
    "PatientPosition",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "BurnedInAnnotation",
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
    "RespiratoryMotionCompensationTechnique",
    "NumberOfTimeSlices",
    "NumberOfTimeSlots",
    "TimeSlotVector",
    "ImageIndex",
    "Units",
    "CountsSource",
    "SeriesType",
    "SUVType",
    "DecayCorrection",
    "CorrectedImage",
    "DecayFactor",
    "DoseCalibrationFactor",
    "FrameReferenceTime",
    "ActualFrameDuration",
    "FrameTime",
    "AttenuationCorrectionMethod",
    "ReconstructionMethod",
    "RadiopharmaceuticalInformationSequence",
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "PatientAge",
    "TimezoneOffsetFromUTC",
    "StructureSetLabel",
    "StructureSetName",
    "StructureSetROISequence",
    "SegmentSequence",
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "RegistrationSequence",
    "ApprovalStatus",
)
# (0009,xx0D) GE scan time, (0071,xx22) Siemens decay time, (7053,xx00) and (7053,xx09) Philips scale factors, with the
# creators that own the blocks.
PRIVATE_GROUPS = (0x0009, 0x0071, 0x7053)
PRIVATE_BLOCKS = range(0x10, 0x20)
PRIVATE_ELEMENTS = {0x0009: (0x0D,), 0x0071: (0x22,), 0x7053: (0x00, 0x09)}
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
IMAGE_MODALITIES = ("CT", "PT", "MR", "NM")

_MAGIC_OFFSET = 128
_PIXEL_TAGS = (Tag(0x7FE00008), Tag(0x7FE00009), Tag(0x7FE00010))
_LONG_VR = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"


def _wanted_tags() -> list[int]:
    tags = [pydicom.datadict.tag_for_keyword(keyword) for keyword in KEYWORDS]
    tags = [tag for tag in tags if tag is not None]
    for group in PRIVATE_GROUPS:
        for block in PRIVATE_BLOCKS:
            tags.append((group << 16) | block)
            tags.extend((group << 16) | (block << 8) | element for element in PRIVATE_ELEMENTS[group])
    return tags


_TAGS = _wanted_tags()


def read_header(path: str | Path) -> tuple[FileDataset | None, str]:
    """The header of one file, without pixels; pydicom may warn of values that break a rule of their type.

    Args:
        path: any file.

    Returns:
        The header and "", or None and the reason: "" again where the file is no DICOM or a DICOMDIR (nothing to tell a
        user who points at a whole export), words where it is DICOM, or is named so, but damaged.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            force = not _has_preamble(file)
            if force and not _looks_like_dicom(file):
                named = path.suffix.lower() in DICOM_SUFFIXES
                return None, "is named like DICOM but is none, or cut off at its start" if named else ""
            return _read(file, size, force)
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"


def _has_preamble(file: BinaryIO) -> bool:
    file.seek(_MAGIC_OFFSET)
    magic = file.read(4)
    file.seek(0)
    return magic == b"DICM"


def _looks_like_dicom(file: BinaryIO) -> bool:
    """Files of old archives start with the data set itself: group 0002 or 0008, little endian, a plausible length."""
    start = file.read(12)
    file.seek(0)
    if len(start) < 12:
        return False
    group, element, length = struct.unpack("<HHL", start[:8])
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return group in (0x0002, 0x0008) and element <= 0x0100 and (explicit or length <= 256)


def _read(file: BinaryIO, size: int, force: bool) -> tuple[FileDataset | None, str]:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=force, specific_tags=_TAGS)
        reason = _damage(header, file, size)
        if reason is None:
            return None, ""
        if reason:
            return None, reason
        _convert(header)
    except Exception as error:  # a damaged file breaks the parser in any way it likes; the run must go on
        return None, f"is damaged, its header cannot be read ({type(error).__name__}); export it again"
    return header, ""


def _convert(dataset: Dataset) -> None:
    """Convert all values now: the parser does so when they are asked for, with an error of its own at that moment.

    What cannot be converted stays as text, so that whoever needs it complains of that attribute and nobody else.
    """
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # converters raise what they like
            raw = dataset.get_item(tag).value
            if pydicom.datadict.dictionary_has_tag(tag) and pydicom.datadict.dictionary_VR(tag) == "SQ":
                raise
            words = raw.decode("latin-1").strip("\0 ") if isinstance(raw, bytes) else ""
            dataset[tag] = DataElement(tag, "UT", words)
            continue
        if element.VR == "SQ":
            for item in element.value:
                _convert(item)


def _damage(header: FileDataset, file: BinaryIO, size: int) -> str | None:
    """ "" for a whole file, words for a damaged one, None for what is to be skipped."""
    file_class = str(getattr(header.file_meta, "MediaStorageSOPClassUID", ""))
    if file_class == pydicom.uid.MediaStorageDirectoryStorage or "DirectoryRecordSequence" in header:
        return None
    if len(header) == 0:
        return "is damaged or cut off: it holds no attributes; export it again"
    for element in header.values():
        if getattr(element, "value", None) and isinstance(element.value, bytes) and len(element.value) < element.length:
            return "is cut off within its header; export it again"
    if str(header.get("Modality", "")) not in IMAGE_MODALITIES:
        return ""
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        return ""
    return _pixel_damage(header, file, size)


def _pixel_damage(header: FileDataset, file: BinaryIO, size: int) -> str:
    """Whether the pixels, at which the parser stopped, are there in full length."""
    start = file.tell()
    begin = file.read(12)
    if len(begin) < 8:
        return "is cut off before its pixels; export it again"
    order = "<" if header.is_little_endian else ">"
    group, element = struct.unpack(order + "HH", begin[:4])
    if Tag(group, element) not in _PIXEL_TAGS:
        return "is cut off or has no pixels; export it again"
    if not header.is_implicit_VR and begin[4:6] in _LONG_VR and len(begin) == 12:
        length, value_start = struct.unpack(order + "L", begin[8:12])[0], start + 12
    else:
        length, value_start = struct.unpack(order + "L", begin[4:8])[0], start + 8
    if length != _UNDEFINED_LENGTH:
        return "" if value_start + length <= size else "is cut off within its pixels; export it again"
    file.seek(max(value_start, size - (1 << 16)), os.SEEK_SET)
    if _SEQUENCE_DELIMITER in file.read():
        return ""
    return "is cut off within its compressed pixels; export it again"
