"""Labels out to the PACS and in from it, where objects are many, old or broken; the PACS is made up."""

import threading
from types import SimpleNamespace

import pytest
from igtv.dicom.errors import DicomError
from lib.labels import pacs_labels
from lib.labels.errors import LabelRefused
from lib.labels.intake import CheckedLabel
from lib.labels.pacs_labels import PacsLabels
from lib.studies import dicomweb_datastore
from lib.studies.pacs import PacsError
from lib.studies.paired_datastore import PairedDatastore

from .made_up_pacs import CT, sources
from .test_dicom_labels import rtstruct, seg


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
