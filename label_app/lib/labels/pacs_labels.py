"""Labels between the store and the PACS: final ones go there as SEG and RTSTRUCT, those drawn elsewhere come in.

What a network drew and nobody took over never counts as a label: segments and ROIs marked AUTOMATIC are passed over,
ours and anybody's.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from igtv.dicom.errors import DicomError
from pydicom.dataset import Dataset

from lib.studies.errors import UnknownImage
from lib.studies.pacs import PacsError

from .dicom_labels import ForeignLabel, label_on_ct, look_at
from .errors import LabelRefused
from .grids import read_grid
from .label_store import LabelVersion
from .pacs_objects import label_objects, local_time, made_uid, private_folder

logger = logging.getLogger(__name__)

# what of a version goes to the PACS, and where the audit trail has its series
SERIES_KEYS = {"SEG": "seg_series_uid", "RTSTRUCT": "rtstruct_series_uid"}
# whose date and time tell when the content of an object was last changed
LAST_CHANGE = {"RTSTRUCT": "StructureSet", "SEG": "Content"}
# number of objects of a series that is looked at again in any case
UNSETTLED = -1
# a label that the PACS refuses is offered again after this time, then after twice as long each time
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 300.0


@dataclass(frozen=True)
class FoundLabel:
    """A label in the PACS that is not here.

    Attributes:
        series: it lies in.
        instance_uid: its SOPInstanceUID.
        seen: what its header says.
        case: it belongs to.
        time: of its last change, as YYYYMMDDHHMMSS in local time; "" where its header does not tell.
        number: SeriesNumber, which for ours rises with the version.
        objects_of_cts: what `PacsLabels` knew of the CTs when it looked.
    """

    series: Any
    instance_uid: str
    seen: ForeignLabel
    case: str
    time: str
    number: int
    objects_of_cts: Mapping[str, int | None]

    @property
    def order(self) -> tuple[str, int, str, str]:
        """The oldest first, so that the newest becomes current, in whatever order the PACS lists them."""
        return self.time, self.number, self.series.uid, self.instance_uid


class PacsLabels:
    """Exchange of labels with the PACS of a datastore.

    Args:
        datastore: `PairedDicomWebDatastore`.
    """

    def __init__(self, datastore: Any):
        self._store = datastore
        # {series: how many objects it and each CT that matters for it had}: a study may be looked at while it arrives
        self._looked_at: dict[str, tuple[int, dict[str, int | None]]] = {}
        # {(case, version): (`time.monotonic()` of the next offer, seconds to wait after it)}
        self._refused: dict[tuple[str, int], tuple[float, float]] = {}
        self._push_lock = threading.Lock()

    def push(self, version: LabelVersion, wait: bool = True) -> None:
        """Store a label as SEG and RTSTRUCT, what of them is not there. One without tumour cannot be a DICOM object.

        Args:
            version: the label.
            wait: for another one that is on its way; without, this one goes with the next exchange then.

        Raises:
            PacsError, DicomError, OSError: not all of it is in the PACS.
        """
        if version.no_tumour or not self._push_lock.acquire(blocking=wait):
            return
        try:
            missing = self._missing(version)
            if missing:
                self._send(version, [one for one in self._objects(version) if one.Modality in missing])
        finally:
            self._push_lock.release()

    def _send(self, version: LabelVersion, objects: list[Dataset]) -> None:
        """Store objects of a version one by one: a PACS may take the one and refuse the other."""
        event = {"event": "pacs", "case": version.case, "version": version.number}
        uids = {SERIES_KEYS[one.Modality]: str(one.SeriesInstanceUID) for one in objects}
        if not self._known_series().keys() >= set(uids.values()):
            # known before they can be found in the PACS, so that they never come back as labels of somebody else
            self._store.labels.note({**event, **uids, "outcome": "sent"})
        there, problems = self._store.label_series(), []
        for one in objects:
            uid = str(one.SeriesInstanceUID)
            try:
                if uid not in there:  # else it has come there, and the answer got lost
                    self._store.pacs.store([one])
            except PacsError as error:
                problems.append(error)
            else:
                self._store.labels.note({**event, SERIES_KEYS[one.Modality]: uid, "outcome": "stored"})
        if problems:
            raise problems[0]

    def exchange(self) -> None:
        """Take in what is new in the PACS, then offer what it does not have.

        Problems are logged, never raised, and one of a label keeps none of the others.
        """
        try:
            listed = self._store.label_series()
            known = self._known_series()  # after the listing, see `push`
            found = [label for one in listed.values() if self._is_due(one, known) for label in self._look(one)]
            # of one structure drawn here there are both: the SEG is the exact one
            exact = self._taken_segs(listed) | {
                (one.case, one.seen.manufacturer) for one in found if one.series.modality == "SEG"
            }
            for one in sorted(found, key=lambda one: one.order):
                self._take_in(one, exact)
            for version in self._not_in_pacs():
                if time.monotonic() >= self._refused.get((version.case, version.number), (0.0, 0.0))[0]:
                    self._offer(version)
        except (ValueError, OSError) as error:
            logger.warning("labels are exchanged with the PACS later: %s", error)

    def _objects(self, version: LabelVersion) -> list[Dataset]:
        return label_objects(self._store, version)

    def _known_series(self) -> dict[str, int]:
        """{series that we stored or took in: how many of its objects the trail knows}."""
        known: dict[str, int] = {}
        for event in self._store.labels.events():
            for name in SERIES_KEYS.values():
                if uid := event.get(name):  # of ours each has one, which several lines may tell of
                    known.setdefault(uid, 1)
            if uid := event.get("source_series_uid"):
                known[uid] = known.get(uid, 0) + 1
        return known

    def _known_objects(self, series_uid: str) -> tuple[set[str], int]:
        """The objects of a series that are here already: their UIDs, and how many older trails tell without the UID."""
        uids, unnamed = set(), 0
        for event in self._store.labels.events():
            if event.get("source_series_uid") == series_uid:
                if "source_object_uid" in event:
                    uids.add(event["source_object_uid"])
                else:
                    unnamed += 1
            for modality, key in SERIES_KEYS.items():
                if event.get(key) == series_uid:
                    versions = self._store.labels.versions(event["case"])
                    uids |= {made_uid(one, modality, "object") for one in versions if one.number == event["version"]}
        return uids, unnamed

    def _stored(self) -> dict[tuple[str, int], set[str]]:
        """{(case, version): modalities that the PACS has of it}."""
        stored: dict[tuple[str, int], set[str]] = {}
        for event in self._store.labels.events():
            if event.get("event") == "pacs" and event.get("outcome") == "stored":
                found = {modality for modality, key in SERIES_KEYS.items() if event.get(key)}
                stored.setdefault((event["case"], event["version"]), set()).update(found)
        return stored

    def _missing(self, version: LabelVersion) -> set[str]:
        """Modalities that the PACS does not have of a version."""
        return set(SERIES_KEYS) - self._stored().get((version.case, version.number), set())

    def _not_in_pacs(self) -> list[LabelVersion]:
        stored = self._stored()
        current = self._store.labels.all_current().values()
        return [
            version
            for version in current
            if not version.no_tumour
            and "source_series_uid" not in version.event
            and not stored.get((version.case, version.number), set()).issuperset(SERIES_KEYS)
            and self._store.has_case(version.case)
        ]

    def _offer(self, version: LabelVersion) -> None:
        key = (version.case, version.number)
        try:
            self.push(version)
            self._refused.pop(key, None)
        except Exception as error:
            seconds = self._refused.get(key, (0.0, FIRST_WAIT_SECONDS))[1]
            self._refused[key] = (time.monotonic() + seconds, min(2 * seconds, LONGEST_WAIT_SECONDS))
            text = "label %s of %s is not in the PACS yet, it is offered again in %.0f s: %s"
            logger.warning(text, version.number, version.case, seconds, error)

    def _taken_segs(self, listed: Mapping[str, Any]) -> set[tuple[str, str]]:
        """Case and maker of the SEGs that came in before and are in the PACS still."""
        return {
            (str(event.get("case")), str(event.get("client")))
            for event in self._store.labels.events()
            if (uid := event.get("source_series_uid")) in listed and listed[uid].modality == "SEG"
        }

    def _look(self, series: Any) -> list[FoundLabel]:
        """The objects of a series that count as labels of cases here and were not taken in before; the oldest first."""
        known, unnamed = self._known_objects(series.uid)
        found, objects_of_cts = [], {}
        reason = "nothing in it is new" if known or unnamed else "it is empty"
        self._looked_at[series.uid] = (series.number_of_objects, {})
        with self._alone(series, objects_of_cts):
            for header in self._store.pacs.headers(series.study_uid, series.uid):
                uid = str(header.SOPInstanceUID)
                if uid in known:
                    continue
                seen = look_at(header, self._store.label_names)
                cts = {} if seen.reason else {uid: self._objects_of_ct(uid) for uid in seen.series_uids}
                case = next((uid for uid, number in cts.items() if number is not None), None)
                reason = seen.reason or "it was not drawn on a CT of this archive"
                objects_of_cts.update(cts)
                if case:
                    number = int(header.get("SeriesNumber") or 0)
                    found.append(FoundLabel(series, uid, seen, case, made_at(header), number, cts))
            if not found:
                self._pass_over(series, reason, objects_of_cts)
        # what is corrected or added comes later than what an older trail tells of
        return sorted(found, key=lambda one: one.order)[unnamed:]

    def _take_in(self, label: FoundLabel, exact: set[tuple[str, str]]) -> None:
        """Make a label the next version of its case, but for one that is here already or older than the current one.

        Args:
            label: of the PACS.
            exact: case and maker of what is there as SEG.
        """
        series, maker = label.series, label.seen.manufacturer
        with self._alone(series, label.objects_of_cts):
            if series.modality == "RTSTRUCT" and (label.case, maker) in exact:
                self._pass_over(series, "the SEG of the same label is here", label.objects_of_cts)
                return
            source = {"client": maker, "source_series_uid": series.uid, "source_object_uid": label.instance_uid}
            source["source_time"] = label.time
            current = self._store.labels.current(label.case)
            if current and _time_of(current) > (label.time or "9"):
                logger.info("%s series %s is older than the label that is current", series.modality, series.uid)
                self._store.labels.note({"event": "pacs", "outcome": "older", "case": label.case, **source})
                return
            with tempfile.TemporaryDirectory(dir=private_folder(self._store)) as folder:
                files = self._store.pacs.download(series.study_uid, series.uid, Path(folder) / "label")
                path = next(
                    path
                    for path in sorted(files.iterdir())
                    if str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) == label.instance_uid
                )
                checked = label_on_ct(path, label.seen, read_grid(self._store.ct_path(label.case)))
            # nobody knows which proposal it began with, if any
            event = {"user": "PACS", **source, "model": None, "edit_dice": None, "proposed_by": None}
            self._store.accept_from_pacs(label.case, checked, event)

    @contextmanager
    def _alone(self, series: Any, objects_of_cts: Mapping[str, int | None] | None = None) -> Iterator[None]:
        """Whatever is wrong with one series stays with it: it is tried again later, or passed over."""
        try:
            yield
        except (PacsError, OSError) as error:
            self._looked_at[series.uid] = (UNSETTLED, {})
            logger.warning("%s series %s is taken in later: %s", series.modality, series.uid, error)
        except (LabelRefused, DicomError) as error:
            self._pass_over(series, str(error), objects_of_cts)
        except Exception as error:
            logger.exception("%s series %s", series.modality, series.uid)
            self._pass_over(series, f"it cannot be read ({type(error).__name__})", objects_of_cts)

    def _pass_over(self, series: Any, reason: str, objects_of_cts: Mapping[str, int | None] | None = None) -> None:
        """Leave a series alone until it, or a CT that it was drawn on, has other objects than when it was looked at."""
        logger.info("%s series %s is no label: %s", series.modality, series.uid, reason)
        number, of_others = self._looked_at[series.uid]
        self._looked_at[series.uid] = (number, {**of_others, **(objects_of_cts or {})})

    def _is_due(self, series: Any, known: Mapping[str, int]) -> bool:
        """Whether a series may hold a label that is not here.

        Args:
            series: of the PACS.
            known: of `_known_series`.
        """
        if series.uid not in self._looked_at:
            return series.uid not in known or series.number_of_objects > known[series.uid]
        number, objects_of_cts = self._looked_at[series.uid]
        cts_as_before = (self._objects_of_ct(uid) == before for uid, before in objects_of_cts.items())
        return number != series.number_of_objects or not all(cts_as_before)

    def _objects_of_ct(self, uid: str) -> int | None:
        """How many objects the PACS has of a CT; None for what is no CT of this archive."""
        try:
            return self._store.series(uid).number_of_objects
        except UnknownImage:
            return None


def made_at(header: Dataset) -> str:
    """When the content of an object was last changed, as YYYYMMDDHHMMSS; "" where its header does not tell.

    The date of the series comes last: who corrects contours may store them in the series that they were in.
    """
    for what in (LAST_CHANGE.get(str(header.get("Modality"))), "InstanceCreation", "Series"):
        date = str(header.get(f"{what}Date") or "")
        if date:
            return date + str(header.get(f"{what}Time") or "")[:6].ljust(6, "0")
    return ""


def _time_of(version: LabelVersion) -> str:
    """When a label was drawn or last changed, as `made_at`; "" for one of the PACS that did not tell."""
    if "source_series_uid" in version.event:
        return str(version.event.get("source_time") or "")
    return local_time(version.time)


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
