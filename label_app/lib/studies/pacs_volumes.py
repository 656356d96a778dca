"""Series of the PACS as files: DICOM as retrieved, CT in HU and PET in SUVbw as NIfTI; all can be made again."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import SimpleITK as sitk
from igtv.dicom import read_suv
from igtv.dicom.series import load_series
from igtv.dicom.volume import as_int16, read_volume
from igtv.files import replacing, write_json

from .pacs import ANSWER_SECONDS, WHOLE_ANSWER_SECONDS, Pacs, PacsSlow
from .pacs_listing import PacsSeries
from .shared_work import SharedWork, StillRunning

logger = logging.getLogger(__name__)

FAST_COMPRESSION = 1
# who needs a volume waits for it so long; the retrieval goes on, and the next request finds what it brought
WAIT_SECONDS = 120.0
ASKED_AGAIN_SECONDS = 600.0  # after a delivery that was short


class PacsVolumes:
    """Volumes in a cache folder.

    Args:
        pacs: asked for what is not there yet, or has grown since.
        folder: of the cache.
    """

    def __init__(self, pacs: Pacs, folder: Path):
        self._pacs = pacs
        self._folder = folder
        self._work = SharedWork("PACS volume")

    def ct(self, series: PacsSeries, until: float | None = None) -> Path:
        """CT in HU.

        Args:
            series: of the PACS.
            until: `time.monotonic()` at which the caller gives up; None: in `WAIT_SECONDS`.

        Raises:
            PacsError: the PACS does not answer, or not in time.
            DicomError: the series is no volume.
        """

        def convert(folder: Path) -> tuple[sitk.Image, list[str]]:
            image, decisions = read_volume(folder)
            return as_int16(image), decisions

        return self._volume(series, "ct", convert, until)

    def ct_there(self, series: PacsSeries) -> Path | None:
        """The CT where it was fetched before; asks nobody and waits for nobody."""
        path = self._path(series, "ct")
        return path if path.is_file() else None

    def pet(self, series: PacsSeries, until: float | None = None) -> Path:
        """PET in SUVbw (g/ml); arguments and errors as of `ct`, also where SUV cannot be computed safely."""
        return self._volume(series, "pet", lambda folder: read_suv(load_series(folder)), until)

    def is_here(self, series: PacsSeries, kind: str) -> bool:
        """Whether the volume ("ct" or "pet") was fetched when the PACS had no fewer objects; asks nobody."""
        path = self._path(series, kind)
        return path.is_file() and _fetched_of(_notes(path, series)) >= series.number_of_objects

    def dicom(self, series: PacsSeries, until: float | None = None) -> Path:
        """Folder with the files of a series; arguments and errors as of `ct`."""
        folder = self._folder / "dicom" / series.uid
        number = _number_of_files(folder)
        # a study may have been opened while it was still being sent
        if number == 0 or max(number, _fetched_of(_notes(folder, series))) < series.number_of_objects:
            self._wait("dicom", series, lambda: self._fetch(series, folder), until)
        return folder

    def _volume(self, series: PacsSeries, kind: str, convert: Callable, until: float | None) -> Path:
        path = self._path(series, kind)
        if not self.is_here(series, kind):
            self._wait(kind, series, lambda: self._make(series, path, convert), until)
        return path

    def _fetch(self, series: PacsSeries, folder: Path) -> None:
        self._pacs.download(series.study_uid, series.uid, folder)
        number = _number_of_files(folder)
        if number < series.number_of_objects:
            text = "series %s: the PACS lists %d objects and sent %d; it is asked again in some minutes"
            logger.warning(text, series.uid, series.number_of_objects, number)
        _note(folder, series, number)

    def _make(self, series: PacsSeries, path: Path, convert: Callable) -> None:
        """The volume, in the thread that all who need it wait for."""
        folder = self.dicom(series, time.monotonic() + WHOLE_ANSWER_SECONDS + ANSWER_SECONDS)
        image, decisions = convert(folder)
        with replacing(path) as temporary:
            sitk.WriteImage(_without_texts(image), str(temporary), True, FAST_COMPRESSION)
        _note(path, series, _number_of_files(folder), decisions)
        for line in decisions:
            logger.info("series %s: %s", series.uid, line)

    def _wait(self, kind: str, series: PacsSeries, work: Callable, until: float | None) -> None:
        """Have work done that others may be waiting for already; it goes on when the caller has given up."""
        try:
            self._work.result(f"{kind} {series.uid}", work, time.monotonic() + WAIT_SECONDS if until is None else until)
        except StillRunning:
            raise PacsSlow("the PACS has not sent the images of this case yet; try again in a minute") from None

    def _path(self, series: PacsSeries, kind: str) -> Path:
        return self._folder / kind / f"{series.uid}.nii.gz"


def _notes(path: Path, series: PacsSeries) -> Path:
    return path.with_name(f"{series.uid}.json")


def _note(path: Path, series: PacsSeries, number: int, decisions: Sequence[str] = ()) -> None:
    content = {"objects": number, "listed": series.number_of_objects, "decisions": list(decisions)}
    write_json(_notes(path, series), content)


def _fetched_of(notes: Path) -> int:
    """How many objects the PACS had when it was asked; -1 where nothing was fetched.

    Some list more than they send, always or once: what was listed stands in for what came, for a while.
    """
    try:
        content = json.loads(notes.read_text(encoding="utf-8"))
        lately = time.time() - notes.stat().st_mtime < ASKED_AGAIN_SECONDS
        return max(int(content["objects"]), int(content.get("listed", 0)) if lately else 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return -1


def _number_of_files(folder: Path) -> int:
    return len(list(folder.glob("*.dcm")))


def _without_texts(image: sitk.Image) -> sitk.Image:
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image
