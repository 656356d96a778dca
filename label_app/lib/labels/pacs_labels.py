"""Labels between the store and the PACS: final ones go there as SEG and RTSTRUCT, those drawn elsewhere come in.

What a network drew and nobody took over never counts as a label: segments and ROIs marked AUTOMATIC are passed over,
ours and anybody's.
"""

import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK as sitk
from igtv.dicom.contour_source import ContourSource
from igtv.dicom.errors import DicomError
from igtv.dicom.reference_series import read_reference
from igtv.dicom.rtstruct_writer import write_rtstruct
from igtv.dicom.seg_writer import write_segmentation
from igtv.dicom.series import load_series
from pydicom.dataset import Dataset

from lib.paths import DataFolders
from lib.studies.pacs import PacsError

from .dicom_labels import ForeignLabel, label_on_ct, look_at
from .errors import LabelRefused
from .grids import read_grid
from .label_store import LabelVersion

logger = logging.getLogger(__name__)

ROI_NAME = "IGTV"
# Series numbers of labels in the PACS: this, and the version.
SERIES_NUMBER = 7000


@dataclass(frozen=True)
class FoundLabel:
    """A label in the PACS that is not here.

    Attributes:
        series: it lies in.
        instance_uid: its SOPInstanceUID.
        seen: what its header says.
        case: it belongs to.
        time: when it was made, as YYYYMMDDHHMMSS in local time; "" where its header does not tell.
        number: SeriesNumber, which for ours rises with the version.
    """

    series: Any
    instance_uid: str
    seen: ForeignLabel
    case: str
    time: str
    number: int

    @property
    def order(self) -> tuple[str, int, str]:
        """The oldest first, so that the newest becomes current."""
        return self.time, self.number, self.series.uid


class PacsLabels:
    """Exchange of labels with the PACS of a datastore.

    Args:
        datastore: `PairedDicomWebDatastore`.
    """

    def __init__(self, datastore: Any):
        self._store = datastore
        self._passed_over: set[str] = set()
        self._push_lock = threading.Lock()

    def push(self, version: LabelVersion, wait: bool = True) -> None:
        """Store a label as SEG and RTSTRUCT. One without tumour cannot be a DICOM object and stays here.

        Args:
            version: the label.
            wait: for another one that is on its way; without, this one goes with the next exchange then.

        Raises:
            PacsError, DicomError, OSError: it is not in the PACS.
        """
        if version.no_tumour or not self._push_lock.acquire(blocking=wait):
            return
        try:
            if (version.case, version.number) in self._stored():
                return
            objects = self._objects(version)
            uids = {f"{one.Modality.lower()}_series_uid": str(one.SeriesInstanceUID) for one in objects}
            event = {"event": "pacs", "case": version.case, "version": version.number, **uids}
            # known before they can be found in the PACS, so that they never come back as labels of somebody else
            self._store.labels.note({**event, "outcome": "sent"})
            self._store.pacs.store(objects)
            self._store.labels.note({**event, "outcome": "stored"})
        finally:
            self._push_lock.release()

    def exchange(self) -> None:
        """Take in what is new in the PACS, then offer what it does not have.

        Problems are logged, never raised, and one of a label keeps none of the others.
        """
        try:
            listed = self._store.label_series()
            known = self._known_series()  # after the listing, see `push`
            new = [one for uid, one in listed.items() if uid not in known and uid not in self._passed_over]
            found = [label for one in new for label in self._look(one)]
            # of one structure drawn here there are both: the SEG is the exact one
            exact = self._taken_segs(listed) | {
                (one.case, one.seen.manufacturer) for one in found if one.series.modality == "SEG"
            }
            for one in sorted(found, key=lambda one: one.order):
                self._take_in(one, exact)
            for version in self._not_in_pacs():
                self._offer(version)
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
        with tempfile.NamedTemporaryFile(suffix=".dcm", dir=self._temporary(), delete=False) as file:
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
        with tempfile.TemporaryDirectory(dir=self._temporary()) as folder:
            paths = [
                write_segmentation(Path(folder) / "seg.dcm", masks, reference, source=source),
                write_rtstruct(Path(folder) / "rtstruct.dcm", masks, reference, source=source),
            ]
            objects = [pydicom.dcmread(path) for path in paths]
        accepted = _local_time(version.time)
        for one in objects:
            one.SeriesDate, one.SeriesTime = accepted[:8], accepted[8:]
            one.SeriesNumber = SERIES_NUMBER + version.number
            one.SeriesDescription = f"{ROI_NAME} label, version {version.number}, not approved"
        return objects

    def _temporary(self) -> Path:
        """The private folder that a start of the server empties, whatever stopped the last one."""
        folder = DataFolders(self._store.data_dir).temporary
        folder.mkdir(exist_ok=True)
        return folder

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

    def _offer(self, version: LabelVersion) -> None:
        try:
            self.push(version)
        except Exception as error:
            logger.warning("label %s of %s is not in the PACS yet: %s", version.number, version.case, error)

    def _taken_segs(self, listed: Mapping[str, Any]) -> set[tuple[str, str]]:
        """Case and maker of the SEGs that came in before and are in the PACS still."""
        return {
            (str(event.get("case")), str(event.get("client")))
            for event in self._store.labels.events()
            if (uid := event.get("source_series_uid")) in listed and listed[uid].modality == "SEG"
        }

    def _look(self, series: Any) -> list[FoundLabel]:
        """The objects of a series that count as labels of cases here."""
        found, reason = [], "it is empty"
        with self._alone(series):
            for header in self._store.pacs.headers(series.study_uid, series.uid):
                seen = look_at(header, self._store.label_names)
                uids = () if seen.reason else seen.series_uids
                case = next((uid for uid in uids if self._store.has_case(uid)), None)
                reason = seen.reason or "it was not drawn on a CT of this archive"
                if case:
                    number = int(header.get("SeriesNumber") or 0)
                    found.append(FoundLabel(series, str(header.SOPInstanceUID), seen, case, made_at(header), number))
            if not found:
                self._pass_over(series, reason)
        return found

    def _take_in(self, label: FoundLabel, exact: set[tuple[str, str]]) -> None:
        """Make a label the next version of its case, but for one that is here already or older than the current one.

        Args:
            label: of the PACS.
            exact: case and maker of what is there as SEG.
        """
        series, maker = label.series, label.seen.manufacturer
        with self._alone(series):
            if series.modality == "RTSTRUCT" and (label.case, maker) in exact:
                self._pass_over(series, "the SEG of the same label is here")
                return
            source = {"client": maker, "source_series_uid": series.uid, "source_time": label.time}
            current = self._store.labels.current(label.case)
            if current and _time_of(current) > (label.time or "9"):
                logger.info("%s series %s is older than the label that is current", series.modality, series.uid)
                self._store.labels.note({"event": "pacs", "outcome": "older", "case": label.case, **source})
                return
            with tempfile.TemporaryDirectory(dir=self._temporary()) as folder:
                files = self._store.pacs.download(series.study_uid, series.uid, Path(folder) / "label")
                path = next(
                    path
                    for path in sorted(files.iterdir())
                    if str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) == label.instance_uid
                )
                checked = label_on_ct(path, label.seen, read_grid(self._store.ct_path(label.case)))
            # nobody knows which proposal it began with, if any
            event = {"user": "PACS", **source, "model": None, "edit_dice": None}
            self._store.accept_from_pacs(label.case, checked, event)

    @contextmanager
    def _alone(self, series: Any) -> Iterator[None]:
        """Whatever is wrong with one series stays with it: it is tried again later, or passed over."""
        try:
            yield
        except (PacsError, OSError) as error:
            logger.warning("%s series %s is taken in later: %s", series.modality, series.uid, error)
        except (LabelRefused, DicomError) as error:
            self._pass_over(series, str(error))
        except Exception as error:
            logger.exception("%s series %s", series.modality, series.uid)
            self._pass_over(series, f"it cannot be read ({type(error).__name__})")

    def _pass_over(self, series: Any, reason: str) -> None:
        logger.info("%s series %s is no label: %s", series.modality, series.uid, reason)
        self._passed_over.add(series.uid)


def made_at(header: Dataset) -> str:
    """When an object was made, as YYYYMMDDHHMMSS; "" where its header does not tell."""
    for what in ("Series", "StructureSet", "Content", "InstanceCreation"):
        date = str(header.get(f"{what}Date") or "")
        if date:
            return date + str(header.get(f"{what}Time") or "")[:6].ljust(6, "0")
    return ""


def _time_of(version: LabelVersion) -> str:
    """When a label was drawn, as `made_at`; "" for one of the PACS that did not tell."""
    if "source_series_uid" in version.event:
        return str(version.event.get("source_time") or "")
    return _local_time(version.time)


def _local_time(time: str) -> str:
    """ISO time of the audit trail as DICOM objects say it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y%m%d%H%M%S")


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
