"""Series of the PACS as files: DICOM as retrieved, CT in HU and PET in SUVbw as NIfTI; all can be made again."""

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk
from igtv.dicom import read_suv
from igtv.dicom.series import load_series
from igtv.dicom.volume import read_volume
from igtv.files import replacing

from .pacs import Pacs
from .pacs_listing import PacsSeries

logger = logging.getLogger(__name__)

FAST_COMPRESSION = 1


class PacsVolumes:
    """Volumes in a cache folder.

    Args:
        pacs: asked for what is not there yet, or has grown since.
        folder: of the cache.
    """

    def __init__(self, pacs: Pacs, folder: Path):
        self._pacs = pacs
        self._folder = folder
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def ct(self, series: PacsSeries) -> Path:
        """CT in HU.

        Raises:
            PacsError: the PACS does not answer.
            DicomError: the series is no volume.
        """

        def convert(folder: Path) -> tuple[sitk.Image, list[str]]:
            image, decisions = read_volume(folder)
            return sitk.Cast(sitk.Round(image), sitk.sitkInt16), decisions

        return self._volume(series, "ct", convert)

    def ct_there(self, series: PacsSeries) -> Path | None:
        """The CT where it was fetched before; asks nobody and waits for nobody."""
        path = self._path(series, "ct")
        return path if path.is_file() else None

    def pet(self, series: PacsSeries) -> Path:
        """PET in SUVbw (g/ml); errors as of `ct`, also where SUV cannot be computed safely."""
        return self._volume(series, "pet", lambda folder: read_suv(load_series(folder)))

    def dicom(self, series: PacsSeries) -> Path:
        """Folder with the files of a series."""
        with self._locks[series.uid]:
            return self._dicom(series)

    def _dicom(self, series: PacsSeries) -> Path:
        folder = self._folder / "dicom" / series.uid
        number = len(list(folder.glob("*.dcm"))) if folder.is_dir() else 0
        # a study may have been opened while it was still being sent
        if number == 0 or number < series.number_of_objects:
            self._pacs.download(series.study_uid, series.uid, folder)
        return folder

    def _volume(self, series: PacsSeries, kind: str, convert: Callable) -> Path:
        path = self._path(series, kind)
        notes = path.with_name(f"{series.uid}.json")
        with self._locks[series.uid]:
            if not path.is_file() or _number_of_objects(notes) < series.number_of_objects:
                folder = self._dicom(series)
                image, decisions = convert(folder)
                with replacing(path) as temporary:
                    sitk.WriteImage(_without_texts(image), str(temporary), True, FAST_COMPRESSION)
                number = len(list(folder.glob("*.dcm")))
                with replacing(notes) as temporary:
                    temporary.write_text(json.dumps({"objects": number, "decisions": decisions}), encoding="utf-8")
                for line in decisions:
                    logger.info("series %s: %s", series.uid, line)
        return path

    def _path(self, series: PacsSeries, kind: str) -> Path:
        return self._folder / kind / f"{series.uid}.nii.gz"


def _number_of_objects(notes: Path) -> int:
    try:
        return int(json.loads(notes.read_text(encoding="utf-8"))["objects"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def _without_texts(image: sitk.Image) -> sitk.Image:
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image
