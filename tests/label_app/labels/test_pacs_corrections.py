"""Contours that were corrected in the PACS come in, each once and by when it was changed."""

import pytest
from lib.labels import pacs_labels
from lib.labels.errors import LabelRefused
from lib.labels.pacs_labels import PacsLabels, made_at
from lib.labels.pacs_objects import made_uid
from lib.studies.pacs import PacsError
from pydicom.dataset import Dataset

from .made_up_pacs import CT, source_objects, sources
from .test_dicom_labels import rtstruct, seg


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
