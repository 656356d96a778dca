"""A PACS whose series and answers a test makes up, and what came in from it."""

from types import SimpleNamespace

import pydicom
from igtv.dicom.contour_source import MANUFACTURER
from lib.labels.label_store import LabelStore
from lib.studies.errors import UnknownImage
from lib.studies.pacs import PacsError
from pydicom.dataset import Dataset, FileMetaDataset

CT = "1.2.3"


class MadeUpPacs:
    """Series by UID; a header that is an exception is raised. `cts` says how many objects each CT has.

    `more` has further objects of a series, which come before the first one when the PACS lists them.
    """

    def __init__(self):
        self.series: dict[str, Dataset | Exception] = {}
        self.more: dict[str, list[Dataset]] = {}
        self.cts = {CT: 100}
        self.objects = 1
        self.asked: list[str] = []
        self.stored: list = []
        self.refuses: set[str] = set()
        self.refused: list = []

    def add(self, uid: str, header: Dataset, date: str, number: int = 1, maker: str = MANUFACTURER) -> None:
        header.SOPInstanceUID, header.Manufacturer, header.SeriesNumber = f"{uid}.1", maker, number
        header.SeriesDate, header.SeriesTime = date, "120000.5"
        self.series[uid] = header

    def add_to(self, uid: str, header: Dataset, number: int, changed: str) -> None:
        """A further RTSTRUCT of a series, whose date is that of the series; the date of its contours is another."""
        header.SOPInstanceUID, header.Manufacturer = f"{uid}.{number}", "somebody"
        header.SeriesNumber = self.series[uid].SeriesNumber
        header.SeriesDate, header.SeriesTime = self.series[uid].SeriesDate, self.series[uid].SeriesTime
        header.StructureSetDate, header.StructureSetTime = changed, "0900"
        self.more.setdefault(uid, []).insert(0, header)

    def ct(self, uid):
        if uid not in self.cts:
            raise UnknownImage(uid)
        return SimpleNamespace(number_of_objects=self.cts[uid])

    def headers(self, study_uid, uid):
        self.asked.append(uid)
        if isinstance(self.series[uid], Exception):
            raise self.series[uid]
        return [*self.more.get(uid, []), self.series[uid]]

    def download(self, study_uid, uid, folder):
        folder.mkdir()
        for number, header in enumerate([*self.more.get(uid, []), self.series[uid]]):
            one = Dataset()
            one.SOPInstanceUID, one.SOPClassUID = header.SOPInstanceUID, "1.2.840.10008.5.1.4.1.1.66.4"
            one.file_meta = FileMetaDataset()
            one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            one.is_little_endian, one.is_implicit_VR = True, False
            one.save_as(folder / f"{number}.dcm", write_like_original=False)
        return folder

    def store(self, objects):
        for one in objects:
            if one.case in self.refuses:
                raise RuntimeError("not now")
            if one.Modality in self.refuses:
                self.refused.append(one)
                raise PacsError("the PACS refused 1 of 1 objects (reason 272)")
        self.stored += objects


class Clock:
    """In place of the module `time`."""

    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds


def sources(store: LabelStore) -> list[str]:
    return [version.event["source_series_uid"] for version in store.versions(CT)]


def source_objects(store: LabelStore) -> list[str]:
    return [version.event["source_object_uid"] for version in store.versions(CT)]
