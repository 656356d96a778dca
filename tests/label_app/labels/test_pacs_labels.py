"""Labels out to the PACS and in from it, where objects are many, old or broken; the PACS is made up."""

import threading
from types import SimpleNamespace

import pydicom
import pytest
from igtv.dicom.contour_source import MANUFACTURER
from igtv.dicom.errors import DicomError
from lib.labels import pacs_labels
from lib.labels.errors import LabelRefused
from lib.labels.intake import CheckedLabel
from lib.labels.label_store import LabelStore
from lib.labels.pacs_labels import PacsLabels, made_at
from lib.labels.pacs_objects import made_uid
from lib.studies import dicomweb_datastore
from lib.studies.errors import UnknownImage
from lib.studies.pacs import PacsError
from lib.studies.paired_datastore import PairedDatastore
from pydicom.dataset import Dataset, FileMetaDataset

from .test_dicom_labels import rtstruct, seg

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


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pacs_labels, "time", made)
    return made


@pytest.fixture
def pacs() -> MadeUpPacs:
    return MadeUpPacs()


@pytest.fixture
def exchange(pacs, store: LabelStore, mask, tmp_path, monkeypatch) -> PacsLabels:
    """Masks are the same for all; the trail says which series each version is from."""
    checked = CheckedLabel(mask, 24, 0.162, ())
    monkeypatch.setattr(pacs_labels, "label_on_ct", lambda path, seen, grid: checked)
    monkeypatch.setattr(pacs_labels, "read_grid", lambda path: None)

    def listed():
        return {
            uid: SimpleNamespace(
                uid=uid,
                study_uid="1.2",
                modality=getattr(header, "Modality", "SEG"),
                number_of_objects=pacs.objects + len(pacs.more.get(uid, [])),
            )
            for uid, header in pacs.series.items()
        }

    datastore = SimpleNamespace(
        labels=store,
        pacs=pacs,
        data_dir=tmp_path,
        label_names=("igtv",),
        label_series=listed,
        has_case=lambda uid: uid.startswith(CT),
        series=pacs.ct,
        ct_path=lambda case: tmp_path,
        accept_from_pacs=lambda case, checked, event: store.add(case, checked.mask, event),
    )
    return PacsLabels(datastore)


def sources(store: LabelStore) -> list[str]:
    return [version.event["source_series_uid"] for version in store.versions(CT)]


def source_objects(store: LabelStore) -> list[str]:
    return [version.event["source_object_uid"] for version in store.versions(CT)]


def test_the_newest_of_the_pacs_is_current(exchange, pacs, store):
    """Whatever their UIDs; of SEG and RTSTRUCT of one maker the SEG, and the RTSTRUCT of another counts by its age."""
    pacs.add("2.25.1", seg(("igtv", "MANUAL")), "20260103", 7003)
    pacs.add("2.25.9", seg(("igtv", "MANUAL")), "20260101", 7001)
    pacs.add("2.25.5", seg(("igtv", "MANUAL")), "20260103", 7002)
    pacs.add("2.25.6", rtstruct(("igtv", "MANUAL")), "20260104", 7003)
    pacs.add("2.25.2", rtstruct(("igtv", "MANUAL")), "20260102", maker="somebody")
    exchange.exchange()
    assert sources(store) == ["2.25.9", "2.25.2", "2.25.5", "2.25.1"]
    assert store.current(CT).event["model"] is None
    exchange.exchange()
    assert PacsLabels(exchange._store).exchange() is None  # after a restart
    assert len(store.versions(CT)) == 4


def test_ohifs_own_export_in_the_pacs_is_passed_over(exchange, pacs, store, caplog):
    """By its maker's data: the PACS gives no header of the file."""
    exported = seg(("igtv", "MANUAL"))
    exported.ManufacturerModelName, exported.DeviceSerialNumber, exported.SoftwareVersions = "Unspecified", "1", "0"
    pacs.add("2.25.1", exported, "20260103", maker="Unspecified")
    pacs.add("2.25.2", seg(("igtv", "MANUAL")), "20260102", maker="Unspecified")
    caplog.set_level("INFO")
    exchange.exchange()
    assert sources(store) == ["2.25.2"] and "reverse order" in caplog.text


def test_an_old_object_does_not_replace_a_label_drawn_here(exchange, pacs, store, mask):
    store.add(CT, mask, {"user": "anna", "no_tumour": False})
    exchange._store.labels.note({"event": "pacs", "outcome": "stored", "case": CT, "version": 1})
    pacs.add("2.25.1", seg(("igtv", "MANUAL")), "20200101")
    exchange.exchange()
    assert store.current(CT).user == "anna"
    assert store.events()[-1]["outcome"] == "older" and store.events()[-1]["source_series_uid"] == "2.25.1"
    pacs.add("2.25.2", seg(("igtv", "MANUAL")), "20990101")
    exchange.exchange()
    assert store.current(CT).event["source_series_uid"] == "2.25.2"
    length = len(store.events())
    exchange.exchange()
    assert len(store.events()) == length


@pytest.mark.parametrize("problem", [KeyError("x"), PacsError("away"), OSError("disk"), LabelRefused("no")])
def test_one_bad_object_keeps_no_other(exchange, pacs, store, problem):
    pacs.series["2.25.1"] = problem
    pacs.add("2.25.2", seg(("igtv", "MANUAL")), "20260101")
    exchange.exchange()
    assert sources(store) == ["2.25.2"]
    # what the PACS did not give is asked for again; it is older than what came meanwhile
    pacs.add("2.25.1", seg(("igtv", "MANUAL")), "20250101")
    exchange.exchange()
    assert sources(store) == ["2.25.2"]
    again = store.events()[-1]["outcome"] == "older"
    assert again == isinstance(problem, PacsError | OSError)


def test_one_label_the_pacs_does_not_take_keeps_no_other(exchange, pacs, store, mask, clock, monkeypatch):
    for case in ("1.2.3.1", "1.2.3.2"):
        store.add(case, mask, {"user": "anna", "no_tumour": False})
    objects = {"Modality": "SEG", "SeriesInstanceUID": "2.25.7"}
    monkeypatch.setattr(exchange, "_objects", lambda version: [SimpleNamespace(case=version.case, **objects)])
    pacs.refuses = {"1.2.3.1"}
    exchange.exchange()
    assert [one.case for one in pacs.stored] == ["1.2.3.2"]
    pacs.refuses = set()
    clock.seconds += 10
    exchange.exchange()
    assert [one.case for one in pacs.stored] == ["1.2.3.2", "1.2.3.1"]


@pytest.fixture
def two_objects(exchange, monkeypatch):
    """SEG and RTSTRUCT of a version, without DICOM."""

    def objects(version):
        uids = {"SEG": f"2.25.7{version.number}", "RTSTRUCT": f"2.25.8{version.number}"}
        return [SimpleNamespace(case=version.case, Modality=kind, SeriesInstanceUID=uid) for kind, uid in uids.items()]

    monkeypatch.setattr(exchange, "_objects", objects)


def test_a_refused_object_is_offered_less_and_less_often(exchange, pacs, store, mask, clock, two_objects):
    """After 10 s, 20 s, 40 s and so on to 300 s; a line in the trail for what is sent and stored, none for repeats."""
    store.add(CT, mask, {"user": "anna", "no_tumour": False})
    pacs.refuses = {"RTSTRUCT"}
    offered_at = []
    for _ in range(200):  # the list of the PACS is renewed every 5 s
        before = len(pacs.refused)
        exchange.exchange()
        offered_at += [clock.seconds - 1000] * (len(pacs.refused) - before)
        clock.seconds += 5
    assert offered_at == [0, 10, 30, 70, 150, 310, 610, 910]
    assert [one.Modality for one in pacs.stored] == ["SEG"]
    events = [event for event in store.events() if event["event"] == "pacs"]
    assert [event["outcome"] for event in events] == ["sent", "stored"]
    assert (events[0]["seg_series_uid"], events[0]["rtstruct_series_uid"]) == ("2.25.71", "2.25.81")
    assert events[1]["seg_series_uid"] == "2.25.71" and "rtstruct_series_uid" not in events[1]
    pacs.refuses = set()
    clock.seconds += 300
    exchange.exchange()
    assert [one.Modality for one in pacs.stored] == ["SEG", "RTSTRUCT"]
    assert store.events()[-1]["rtstruct_series_uid"] == "2.25.81" and store.events()[-1]["outcome"] == "stored"
    length = len(store.events())
    clock.seconds += 300
    exchange.exchange()
    assert len(store.events()) == length and len(pacs.stored) == 2


def test_after_a_restart_only_what_is_missing_is_sent(exchange, pacs, store, mask, clock, two_objects, monkeypatch):
    version = store.add(CT, mask, {"user": "anna", "no_tumour": False})
    pacs.refuses = {"SEG"}
    with pytest.raises(PacsError, match="refused"):
        exchange.push(version)
    pacs.refuses = set()
    again = PacsLabels(exchange._store)
    monkeypatch.setattr(again, "_objects", exchange._objects)
    again.exchange()
    assert [one.Modality for one in pacs.stored] == ["RTSTRUCT", "SEG"]
    assert [event["outcome"] for event in store.events()[1:]] == ["sent", "stored", "stored"]


def test_what_came_there_though_its_answer_got_lost_is_not_sent_again(exchange, pacs, store, mask, two_objects):
    version = store.add(CT, mask, {"user": "anna", "no_tumour": False})
    pacs.add("2.25.71", seg(("igtv", "MANUAL")), "20260103")
    exchange.push(version)
    assert [one.Modality for one in pacs.stored] == ["RTSTRUCT"]
    length = len(store.events())
    exchange.push(version)
    exchange.exchange()
    assert len(store.events()) == length and [one.number for one in store.versions(CT)] == [1]


def test_versions_stored_before_are_not_sent_again(exchange, pacs, store, mask, two_objects):
    """The trail had one line for both objects then."""
    version = store.add(CT, mask, {"user": "anna", "no_tumour": False})
    uids = {"seg_series_uid": "2.25.1234", "rtstruct_series_uid": "2.25.1235"}
    store.note({"event": "pacs", "case": CT, "version": 1, **uids, "outcome": "stored"})
    exchange.push(version)
    exchange.exchange()
    assert pacs.stored == []


def test_contours_that_come_before_their_ct(exchange, pacs, store):
    """They are looked at once, and again when the CT is there."""
    pacs.cts = {}
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20260103")
    for _ in range(3):
        exchange.exchange()
    assert pacs.asked == ["2.25.1"] and store.versions(CT) == []
    pacs.cts = {CT: 1}
    exchange.exchange()
    assert sources(store) == ["2.25.1"]


@pytest.mark.parametrize("problem", [DicomError("a slice is missing"), LabelRefused("outside the CT"), KeyError("x")])
def test_contours_on_a_ct_that_is_half_there(exchange, pacs, store, monkeypatch, problem):
    """Tried once for every state of the CT."""
    label_on_ct, tries = pacs_labels.label_on_ct, []

    def on_half_a_ct(*arguments):
        tries.append(pacs.cts[CT])
        if pacs.cts[CT] < 100:
            raise problem
        return label_on_ct(*arguments)

    monkeypatch.setattr(pacs_labels, "label_on_ct", on_half_a_ct)
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20260103")
    for pacs.cts[CT] in (40, 40, 70, 100, 100):
        exchange.exchange()
    assert tries == [40, 70, 100] and sources(store) == ["2.25.1"]


def test_a_series_that_grew_is_looked_at_again(exchange, pacs, store):
    pacs.add("2.25.1", seg(("heart", "MANUAL")), "20260103")
    exchange.exchange()
    pacs.add("2.25.1", seg(("igtv", "MANUAL")), "20260103")
    exchange.exchange()
    assert store.versions(CT) == []
    pacs.objects = 2
    exchange.exchange()
    assert sources(store) == ["2.25.1"]


def test_objects_of_one_series_come_in_by_when_their_contours_were_changed(exchange, pacs, store):
    """Not in the order of the PACS, which lists the newest first here; the series has one date for all."""
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20250101", maker="somebody")
    pacs.series["2.25.1"].StructureSetDate = "20250102"
    pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 3, "20250310")
    pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 2, "20250310")
    pacs.more["2.25.1"].reverse()
    exchange.exchange()
    assert source_objects(store) == ["2.25.1.1", "2.25.1.2", "2.25.1.3"]
    assert store.current(CT).event["source_time"] == "20250310090000"


def test_a_correction_in_a_series_that_was_taken_in_comes_in(exchange, pacs, store):
    """Once, also after a restart; what was there before does not come a second time."""
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20250101", maker="somebody")
    exchange.exchange()
    exchange.exchange()
    assert pacs.asked == ["2.25.1"] and source_objects(store) == ["2.25.1.1"]
    pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 2, "20250401")
    exchange.exchange()
    assert source_objects(store) == ["2.25.1.1", "2.25.1.2"]
    pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 3, "20250501")
    pacs.add_to("2.25.1", rtstruct(("heart", "MANUAL")), 4, "20250501")
    again = PacsLabels(exchange._store)
    again.exchange()
    assert source_objects(store) == ["2.25.1.1", "2.25.1.2", "2.25.1.3"]
    asked = len(pacs.asked)
    again.exchange()
    assert len(pacs.asked) == asked and len(store.versions(CT)) == 3


def test_a_correction_that_the_pacs_does_not_give_is_asked_for_again(exchange, pacs, store, monkeypatch):
    """Though another object of its series is none that counts."""
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20250101", maker="somebody")
    pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 2, "20250401")
    label_on_ct, problems = pacs_labels.label_on_ct, [PacsError("away"), LabelRefused("outside the CT")]

    def failing(*arguments):
        if problems:
            raise problems.pop(0)
        return label_on_ct(*arguments)

    monkeypatch.setattr(pacs_labels, "label_on_ct", failing)
    exchange.exchange()
    assert store.versions(CT) == []
    exchange.exchange()
    assert source_objects(store) == ["2.25.1.1", "2.25.1.2"]


def test_a_correction_of_contours_that_we_sent(exchange, pacs, store, mask, two_objects):
    """Stored in our own series: it counts, and our own object in it stays ours."""
    version = store.add(CT, mask, {"user": "anna", "no_tumour": False})
    exchange.push(version)
    pacs.add("2.25.81", rtstruct(("IGTV", "SEMIAUTOMATIC")), "20260101")
    pacs.series["2.25.81"].SOPInstanceUID = made_uid(version, "RTSTRUCT", "object")
    exchange.exchange()
    assert pacs.asked == []
    pacs.add_to("2.25.81", rtstruct(("IGTV", "MANUAL")), 2, "20990101")
    for one in (exchange, exchange, PacsLabels(exchange._store)):
        one.exchange()
    assert [one.event.get("source_object_uid") for one in store.versions(CT)] == [None, "2.25.81.2"]


@pytest.mark.parametrize("corrected", [False, True])
def test_a_series_of_an_older_trail_counts_as_taken_unless_it_grew(exchange, pacs, store, mask, corrected):
    """The trail had no UIDs of objects then; the oldest object is the one it tells of."""
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20250101", maker="somebody")
    source = {"client": "somebody", "source_series_uid": "2.25.1", "source_time": "20250101120000"}
    store.add(CT, mask, {"user": "PACS", "no_tumour": False, **source})
    if corrected:
        pacs.add_to("2.25.1", rtstruct(("igtv", "MANUAL")), 2, "20250401")
    for one in (exchange, exchange, PacsLabels(exchange._store)):
        one.exchange()
    objects = [version.event.get("source_object_uid") for version in store.versions(CT)]
    assert objects == ([None, "2.25.1.2"] if corrected else [None]) and bool(pacs.asked) == corrected


def test_contours_edited_late_in_an_old_series_are_not_older(exchange, pacs, store):
    pacs.add("2.25.1", rtstruct(("igtv", "MANUAL")), "20250201", maker="somebody")
    exchange.exchange()
    pacs.add("2.25.2", rtstruct(("igtv", "MANUAL")), "20250115", maker="somebody")
    pacs.series["2.25.2"].StructureSetDate = "20250501"
    exchange.exchange()
    assert sources(store) == ["2.25.1", "2.25.2"]


@pytest.mark.parametrize(
    ("modality", "dates", "expected"),
    [
        ("RTSTRUCT", {"StructureSet": "4", "Content": "3", "InstanceCreation": "2", "Series": "1"}, "4"),
        ("SEG", {"StructureSet": "4", "Content": "3", "InstanceCreation": "2", "Series": "1"}, "3"),
        ("SEG", {"InstanceCreation": "2", "Series": "1"}, "2"),
        ("RTSTRUCT", {"Series": "1"}, "1"),
        ("RTSTRUCT", {}, None),
    ],
)
def test_time_of_the_last_change(modality, dates, expected):
    header = Dataset()
    header.Modality = modality
    for what, day in dates.items():
        setattr(header, f"{what}Date", f"2025010{day}")
        setattr(header, f"{what}Time", "0930")
    assert made_at(header) == (f"2025010{expected}093000" if expected else "")


def test_a_push_does_not_wait_for_another(exchange, pacs, store, mask):
    version = store.add(CT, mask, {"user": "anna", "no_tumour": False})
    with exchange._push_lock:
        exchange.push(version, wait=False)
    assert pacs.stored == []


def test_a_pacs_that_hangs_keeps_no_annotator_waiting(mask, tmp_path, monkeypatch):
    monkeypatch.setattr(dicomweb_datastore, "PUSH_SECONDS", 0.1)
    datastore = dicomweb_datastore.PairedDicomWebDatastore.__new__(dicomweb_datastore.PairedDicomWebDatastore)
    PairedDatastore.__init__(datastore, tmp_path)
    hang, pushed = threading.Event(), []
    datastore._exchange = SimpleNamespace(push=lambda version, wait: hang.wait(20) and pushed.append(version))
    version = datastore.accept(CT, CheckedLabel(mask, 24, 0.162, ()), {"user": "anna"})
    assert version.number == 1 and pushed == []
    hang.set()
