"""DICOM objects for the PACS: the SEG and RTSTRUCT of a label, and a network's mask as SEG."""

import tempfile
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK as sitk
from igtv.dicom.reference_series import ReferenceSeries, read_reference
from igtv.dicom.rtstruct_writer import write_rtstruct
from igtv.dicom.seg_writer import write_segmentation
from igtv.dicom.series import load_series
from pydicom.dataset import Dataset

from lib.paths import DataFolders

from .contour_sources import source_of_label, source_of_proposal
from .errors import LabelRefused
from .label_store import LabelVersion

ROI_NAME = "IGTV"
# Series numbers of labels in the PACS: this, and the version.
SERIES_NUMBER = 7000
# Of the UIDs that are made from what a version is.
UID_NAMESPACE = uuid.UUID("0d8f5d0b-6c0e-4d0c-9a55-5b8a4f0e7a11")


def label_objects(datastore: Any, version: LabelVersion) -> list[Dataset]:
    """SEG and RTSTRUCT of a label, from one version of the bundle each time the very same objects.

    Args:
        datastore: `PairedDicomWebDatastore`.
        version: the label.

    Raises:
        PacsError, DicomError, OSError: its CT is not whole, or cannot be had.
    """
    source = source_of_label(DataFolders(datastore.data_dir).models, version.event.get("model"))
    masks, reference = {ROI_NAME: sitk.ReadImage(str(version.path))}, _reference(datastore, version.case)
    with tempfile.TemporaryDirectory(dir=private_folder(datastore)) as folder:
        paths = [
            write_segmentation(Path(folder) / "seg.dcm", masks, reference, source=source),
            write_rtstruct(Path(folder) / "rtstruct.dcm", masks, reference, source=source),
        ]
        objects = [pydicom.dcmread(path) for path in paths]
    for one in objects:
        _make_repeatable(one, version)
        one.SeriesNumber = SERIES_NUMBER + version.number
        one.SeriesDescription = f"{ROI_NAME} label, version {version.number}, not approved"
    return objects


def proposal_seg(datastore: Any, image_id: str, mask_path: Path, params: Mapping[str, Any]) -> Path:
    """A network's mask as SEG in a temporary file, marked as automatic; the caller deletes it.

    Args:
        datastore: `PairedDicomWebDatastore`.
        image_id: of the case.
        mask_path: what the task answered with.
        params: what it said about it: `label_names` and `model`, where it names them.

    Raises:
        LabelRefused: the mask is empty, which DICOM cannot hold.
    """
    case, _ = datastore.resolve(image_id)
    mask = sitk.ReadImage(str(mask_path)) != 0
    if not sitk.GetArrayFromImage(mask).any():
        raise LabelRefused("the proposal is empty; a DICOM SEG cannot hold nothing")
    source = source_of_proposal(params.get("model"))
    name = next(iter(params.get("label_names") or ()), ROI_NAME).upper()
    with tempfile.NamedTemporaryFile(suffix=".dcm", dir=private_folder(datastore), delete=False) as file:
        path = Path(file.name)
    try:
        return write_segmentation(path, {name: mask}, _reference(datastore, case), source=source)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def private_folder(datastore: Any) -> Path:
    """The folder that a start of the server empties, whatever stopped the last one."""
    folder = DataFolders(datastore.data_dir).temporary
    folder.mkdir(exist_ok=True)
    return folder


def local_time(time: str) -> str:
    """ISO time of the audit trail as DICOM objects say it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y%m%d%H%M%S")


def _reference(datastore: Any, case: str) -> ReferenceSeries:
    return read_reference(load_series(datastore.ct_dicom(case)))


def made_uid(version: LabelVersion, modality: str, part: str) -> str:
    """UID of a part of a version's SEG or RTSTRUCT, made from the version alone.

    Args:
        version: the label.
        modality: "SEG" or "RTSTRUCT".
        part: "series", "object" (the SOPInstanceUID) or another part's name.
    """
    name = f"{version.case} {version.number} {version.time} {version.sha256} {modality} {part}"
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, name).int}"


def _make_repeatable(one: Dataset, version: LabelVersion) -> None:
    """UIDs and times made from the version alone: whatever is sent once more is the same object."""

    def uid(part: str) -> str:
        return made_uid(version, str(one.Modality), part)

    accepted = local_time(version.time)
    for what in ("Series", "StructureSet", "Content", "InstanceCreation"):
        for kind, text in (("Date", accepted[:8]), ("Time", accepted[8:])):
            if f"{what}{kind}" in one or what == "Series":
                setattr(one, f"{what}{kind}", text)
    one.SeriesInstanceUID, one.SOPInstanceUID = uid("series"), uid("object")
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    # of the UID that was drawn by chance, which may have been shorter; whoever writes the object counts anew
    one.file_meta.FileMetaInformationGroupLength = 0
    for segment in one.get("SegmentSequence") or ():
        segment.TrackingUID = uid(f"segment {segment.SegmentNumber}")
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in one.get(sequence) or ():
            item.DimensionOrganizationUID = uid("dimensions")
