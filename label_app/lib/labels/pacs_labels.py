"""Labels between the store and the PACS: final ones go there as SEG and RTSTRUCT, those drawn elsewhere come in.

What a network drew and nobody took over never counts as a label: segments and ROIs marked AUTOMATIC are passed over,
ours and anybody's.
"""

import logging
import tempfile
import threading
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK as sitk
from igtv.dicom.contour_source import MANUFACTURER, ContourSource
from igtv.dicom.errors import DicomError
from igtv.dicom.reference_series import read_reference
from igtv.dicom.rtstruct_writer import write_rtstruct
from igtv.dicom.seg_writer import write_segmentation
from igtv.dicom.series import load_series
from pydicom.dataset import Dataset

from .dicom_labels import ForeignLabel, label_on_ct, look_at
from .errors import LabelRefused
from .grids import read_grid
from .label_store import LabelVersion

logger = logging.getLogger(__name__)

ROI_NAME = "IGTV"
# Series numbers of labels in the PACS: this, and the version.
SERIES_NUMBER = 7000


class PacsLabels:
    """Exchange of labels with the PACS of a datastore.

    Args:
        datastore: `PairedDicomWebDatastore`.
    """

    def __init__(self, datastore: Any):
        self._store = datastore
        self._passed_over: set[str] = set()
        self._push_lock = threading.Lock()

    def push(self, version: LabelVersion) -> None:
        """Store a label as SEG and RTSTRUCT. One without tumour cannot be a DICOM object and stays here.

        Raises:
            PacsError, DicomError, OSError: it is not in the PACS.
        """
        if version.no_tumour:
            return
        with self._push_lock:
            if (version.case, version.number) in self._stored():
                return
            objects = self._objects(version)
            uids = {f"{one.Modality.lower()}_series_uid": str(one.SeriesInstanceUID) for one in objects}
            event = {"event": "pacs", "case": version.case, "version": version.number, **uids}
            # known before they can be found in the PACS, so that they never come back as labels of somebody else
            self._store.labels.note({**event, "outcome": "sent"})
            self._store.pacs.store(objects)
            self._store.labels.note({**event, "outcome": "stored"})

    def exchange(self) -> None:
        """Take in what is new in the PACS, then offer what it does not have; problems are logged, never raised."""
        try:
            listed = self._store.label_series()
            known = self._known_series()  # after the listing, see `push`
            new = [one for uid, one in listed.items() if uid not in known and uid not in self._passed_over]
            # of one structure drawn here, the SEG comes first: it is the exact one
            for one in sorted(new, key=lambda one: (one.modality != "SEG", one.uid)):
                self._take_in(one)
            for version in self._not_in_pacs():
                self.push(version)
        except (ValueError, OSError) as error:
            logger.warning("labels are exchanged with the PACS later: %s", error)

    def proposal_seg(self, case: str, mask_path: Path) -> Path:
        """A network's mask as SEG in a temporary file.

        Raises:
            LabelRefused: the mask is empty, which DICOM cannot hold.
        """
        mask = sitk.ReadImage(str(mask_path)) != 0
        if not sitk.GetArrayFromImage(mask).any():
            raise LabelRefused("the proposal is empty; a DICOM SEG cannot hold nothing")
        proposal = self._store.proposal(case)
        note = proposal[1] if proposal else {}
        source = ContourSource("AUTOMATIC", str(note.get("model") or "unknown"), str(note.get("version") or "unknown"))
        folder = self._store.data_dir / "temporary"
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(suffix=".dcm", dir=folder, delete=False) as file:
            path = Path(file.name)
        try:
            return write_segmentation(path, {ROI_NAME: mask}, self._reference(case), source=source)
        except Exception:
            path.unlink(missing_ok=True)
            raise

    def _objects(self, version: LabelVersion) -> list[Dataset]:
        """SEG and RTSTRUCT of a version, named for it."""
        model = version.event.get("model") or {}
        name, number = str(model.get("name") or ""), str(model.get("version") or "unknown")
        source = ContourSource("SEMIAUTOMATIC" if name else "MANUAL", name, number)
        masks, reference = {ROI_NAME: sitk.ReadImage(str(version.path))}, self._reference(version.case)
        with tempfile.TemporaryDirectory(dir=self._store.data_dir) as folder:
            paths = [
                write_segmentation(Path(folder) / "seg.dcm", masks, reference, source=source),
                write_rtstruct(Path(folder) / "rtstruct.dcm", masks, reference, source=source),
            ]
            objects = [pydicom.dcmread(path) for path in paths]
        for one in objects:
            one.SeriesNumber = SERIES_NUMBER + version.number
            one.SeriesDescription = f"{ROI_NAME} label, version {version.number}, not approved"
        return objects

    def _reference(self, case: str):
        return read_reference(load_series(self._store.ct_dicom(case)))

    def _known_series(self) -> set[str]:
        names = ("seg_series_uid", "rtstruct_series_uid", "source_series_uid")
        return {str(event[name]) for event in self._store.labels.events() for name in names if event.get(name)}

    def _stored(self) -> set[tuple[str, int]]:
        """Versions that the PACS has, as (case, number)."""
        return {
            (event["case"], event["version"])
            for event in self._store.labels.events()
            if event.get("event") == "pacs" and event.get("outcome") == "stored"
        }

    def _not_in_pacs(self) -> list[LabelVersion]:
        stored = self._stored()
        current = self._store.labels.all_current().values()
        return [
            version
            for version in current
            if not version.no_tumour
            and "source_series_uid" not in version.event
            and (version.case, version.number) not in stored
            and self._store.has_case(version.case)
        ]

    def _take_in(self, series: Any) -> None:
        try:
            for header in self._store.pacs.headers(series.study_uid, series.uid):
                reason = self._accept_object(series, header)
        except (LabelRefused, DicomError) as error:
            reason = str(error)
        if reason:
            logger.info("%s series %s is no label: %s", series.modality, series.uid, reason)
            self._passed_over.add(series.uid)

    def _accept_object(self, series: Any, header: Dataset) -> str:
        """Take one object in; returns why not, "" when it was."""
        seen = look_at(header, self._store.label_names)
        if seen.reason:
            return seen.reason
        case = next((uid for uid in seen.series_uids if self._store.has_case(uid)), None)
        if case is None:
            return "it was not drawn on a CT of this archive"
        ours = seen.manufacturer == MANUFACTURER
        if ours and series.modality == "RTSTRUCT" and self._store.labels.current(case):
            return "the SEG of the same label is here"
        with tempfile.TemporaryDirectory(dir=self._store.data_dir) as folder:
            files = self._store.pacs.download(series.study_uid, series.uid, Path(folder) / "label")
            path = next(
                path
                for path in sorted(files.iterdir())
                if str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) == header.SOPInstanceUID
            )
            checked = label_on_ct(path, seen, read_grid(self._store.ct_path(case)))
        event = {"user": "PACS", "client": seen.manufacturer, "source_series_uid": series.uid, "edit_dice": None}
        self._store.accept_from_pacs(case, checked, event)
        return ""


def submitted_object(path: Path, names: tuple[str, ...]) -> tuple[ForeignLabel, Dataset]:
    """What a SEG or RTSTRUCT file that a person submits holds, and its header.

    Raises:
        LabelRefused: it is no whole DICOM file.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return look_at(header, names, automatic_counts=True), header
    except (OSError, ValueError, AttributeError, KeyError, pydicom.errors.InvalidDicomError) as error:
        raise LabelRefused("the object is no DICOM file, or is cut off") from error
