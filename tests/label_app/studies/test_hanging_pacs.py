"""Nobody waits for a PACS that does not answer, but those who need its volumes."""

import json
import threading
import time
from types import SimpleNamespace

import pytest
import SimpleITK as sitk
from fastapi import FastAPI, Request
from lib.activelearning.given_out import GivenOut
from lib.activelearning.next_case import NextCase
from lib.learning.held_out import HeldOut
from lib.server.routes.learning import next_sample_routes
from lib.studies import dicomweb_datastore, pacs_listing
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.errors import UnknownImage
from lib.studies.pacs import PacsError
from starlette.testclient import TestClient

from .made_up_pacs import HangingPacs

CT, PET = "1.2.1.1", "1.2.1.2"
OTHER_CT, FIRST_PET, SECOND_PET = "1.2.2.1", "1.2.2.2", "1.2.2.3"
SERIES = [
    (CT, "1.2.1", "CT"),
    (PET, "1.2.1", "PT"),
    (OTHER_CT, "1.2.2", "CT"),
    (FIRST_PET, "1.2.2", "PT"),
    (SECOND_PET, "1.2.2", "PT"),
]
# far below the time for which the PACS is silent, far above what a busy computer needs for nothing
AT_ONCE_S = 10.0


@pytest.fixture
def pacs():
    with HangingPacs(SERIES) as running:
        yield running


@pytest.fixture
def store(pacs, tmp_path, monkeypatch) -> PairedDicomWebDatastore:
    """Opened while searches are answered; every request finds the listing too old, and the PACS silent."""
    opened = PairedDicomWebDatastore(pacs.address, tmp_path / "data")
    pacs.silent.set()
    monkeypatch.setattr(pacs_listing, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(pacs_listing, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(dicomweb_datastore, "DECISION_SECONDS", 0.3)
    return opened


def at_once(call, *arguments):
    """What the call gives, or raises, without waiting for anybody."""
    started = time.monotonic()
    try:
        return call(*arguments)
    finally:
        assert time.monotonic() - started < AT_ONCE_S


def wait_for(condition):
    """Until a thread beside has done its work."""
    until = time.monotonic() + AT_ONCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def test_lists_and_facts_use_what_is_known(store, pacs):
    """The undecided study is not listed yet; what is noted of a case needs no volume."""
    for _ in range(3):
        assert at_once(store.case_ids) == at_once(store.get_unlabeled_images) == [CT]
        assert at_once(store.status)["total"] == 1 and list(at_once(store.json)["objects"]) == [CT]
        assert at_once(store.final_labels) == at_once(store.get_labeled_images) == []
    assert at_once(store.get_image_info, CT) == {
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": CT,
        "PatientID": "P1",
        "Modality": "CT",
    }
    at_once(store.update_image_info, CT, {"seen": 1})
    assert at_once(store.get_image_info, CT)["seen"] == 1
    assert at_once(store.get_labels_by_image_id, CT) == {} and at_once(store.patient_of, CT) == "P1"
    wait_for(lambda: any("metadata" in path for path in pacs.asked))  # beside the requests


def test_next_sample_is_given_out(store, pacs, tmp_path):
    version = SimpleNamespace(name="igtv", number=1)
    book = SimpleNamespace(scores=lambda version: {})
    scorer = SimpleNamespace(registry=SimpleNamespace(current=lambda: version), book=book)
    held_out = HeldOut(tmp_path / "frozen")
    strategy = NextCase("first", scorer, GivenOut(tmp_path / "given_out.json"), held_out)
    app = SimpleNamespace(studies=pacs.address, datastore=lambda: store, strategies=lambda: {"first": strategy})
    server = FastAPI()

    @server.middleware("http")
    async def log_in(request: Request, call_next):
        request.state.user = "anna"
        return await call_next(request)

    server.include_router(next_sample_routes(app))
    with TestClient(server) as client:
        answer = at_once(client.post, "/activelearning/first")
        assert answer.status_code == 200 and answer.json()["id"] == CT and answer.json()["name"] == f"{CT}.nii.gz"
    assert "first" in store.get_image_info(CT)["strategy"]


def test_who_must_wait_does_so_for_a_while_only(store):
    with pytest.raises(PacsError, match="has not told yet which CT this PET belongs to"):
        at_once(store.resolve, FIRST_PET)
    with pytest.raises(UnknownImage):
        at_once(store.resolve, "1.2.9")


@pytest.fixture
def of_others():
    """Threads that were there before."""
    return set(threading.enumerate())


def test_requests_do_not_pile_up_threads(of_others, store):
    for _ in range(5):
        with pytest.raises(PacsError):
            store.resolve(FIRST_PET)
        store.case_ids()
    names = [thread.name for thread in threading.enumerate() if thread not in of_others]
    for name in ("PACS pair", "PACS listing", "PACS_decide_studies", "PACS_exchange_labels"):
        assert names.count(name) <= 1, names


def test_a_label_of_an_undecided_study_is_not_forgotten(store):
    """Nothing lists its case yet; whoever trains must be told."""
    for case in (CT, OTHER_CT):
        store.labels.add(case, sitk.Image(4, 4, 4, sitk.sitkUInt8) + 1, {"no_tumour": False})
    assert [one["image"] for one in at_once(store.final_labels)] == [CT]
    assert at_once(store.undecided_labels) == [OTHER_CT]
    (store.data_dir / "pairs.json").write_text(f'{{"{OTHER_CT}": "{SECOND_PET}"}}')
    assert store.undecided_labels() == [] and len(store.final_labels()) == 2


def test_a_choice_of_a_person_needs_no_pacs(store, tmp_path):
    (tmp_path / "data" / "pairs.json").write_text(f'{{"{OTHER_CT}": "{SECOND_PET}"}}')
    assert at_once(store.case_ids) == [CT, OTHER_CT]
    assert at_once(store.resolve, SECOND_PET) == (OTHER_CT, "pet")


def test_a_damaged_decision_is_none(store, tmp_path):
    listing = store._listing.get()
    key = sorted([uid, 3] for uid in (OTHER_CT, FIRST_PET, SECOND_PET))
    path = tmp_path / "data" / "cache" / "pairs" / "1.2.2.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for content in ({"series": key}, {"series": key, "pair": {"ct": OTHER_CT}}, []):
        path.write_text(json.dumps(content))
        assert store._pairs.known("1.2.2", listing) is None and at_once(store.case_ids) == [CT]
    path.write_text(json.dumps({"series": key, "pair": {"ct": OTHER_CT, "pet": FIRST_PET, "reason": ""}}))
    assert at_once(store.case_ids) == [CT, OTHER_CT]
