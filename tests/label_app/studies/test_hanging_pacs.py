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
from lib.server.inference import run_inference
from lib.server.routes import cases, infer
from lib.server.routes.learning import next_sample_routes
from lib.server.workers import PACS_THREADS, Workers
from lib.studies import dicomweb_datastore, pacs, pacs_listing, shared_work
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.errors import UnknownImage
from lib.studies.pacs import PacsError, PacsSlow
from starlette.testclient import TestClient

from ..waiting import wait_for
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
LONG_S = 60.0


@pytest.fixture
def hanging():
    with HangingPacs(SERIES) as running:
        yield running


@pytest.fixture
def store(hanging, tmp_path, monkeypatch) -> PairedDicomWebDatastore:
    """Opened while searches are answered; every request finds the listing too old, and the PACS silent."""
    opened = PairedDicomWebDatastore(hanging.address, tmp_path / "data")
    hanging.silent.set()
    monkeypatch.setattr(pacs_listing, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(pacs_listing, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(dicomweb_datastore, "DECISION_SECONDS", 0.3)
    return opened


@pytest.fixture
def at_once(hanging):
    """`at_once(call, *arguments)`: what the call gives, or raises, while the PACS keeps all its requests waiting."""

    def ask(call, *arguments):
        try:
            return call(*arguments)
        finally:
            assert hanging.let_go == []

    return ask


def test_lists_and_facts_use_what_is_known(store, hanging, at_once):
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
    wait_for(lambda: any("metadata" in path for path in hanging.asked))  # beside the requests


def served(*routers) -> TestClient:
    """Routes, used by anna."""
    server = FastAPI()

    @server.middleware("http")
    async def log_in(request: Request, call_next):
        request.state.user = "anna"
        return await call_next(request)

    for router in routers:
        server.include_router(router)
    return TestClient(server, raise_server_exceptions=False)


def test_next_sample_is_given_out(store, hanging, tmp_path, at_once):
    version = SimpleNamespace(name="igtv", number=1)
    book = SimpleNamespace(scores=lambda version: {})
    scorer = SimpleNamespace(registry=SimpleNamespace(current=lambda: version), book=book, problems={})
    held_out = HeldOut(tmp_path / "frozen")
    strategy = NextCase("first", scorer, GivenOut(tmp_path / "given_out.json"), held_out)
    app = SimpleNamespace(studies=hanging.address, datastore=lambda: store, strategies=lambda: {"first": strategy})
    with served(next_sample_routes(app)) as client:
        answer = at_once(client.post, "/activelearning/first")
        assert answer.status_code == 200 and answer.json()["id"] == CT and answer.json()["name"] == f"{CT}.nii.gz"
    assert "first" in store.get_image_info(CT)["strategy"]


def test_the_pet_of_a_known_case_is_known(store, monkeypatch, at_once):
    monkeypatch.setattr(pacs_listing, "PATIENCE_SECONDS", 4 * LONG_S)
    assert at_once(store.resolve, f"{CT}__pet") == (CT, "pet")


def test_who_must_wait_does_so_for_a_while_only(store, at_once):
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


def test_a_label_of_an_undecided_study_is_not_forgotten(store, at_once):
    """Nothing lists its case yet; whoever trains must be told."""
    for case in (CT, OTHER_CT):
        store.labels.add(case, sitk.Image(4, 4, 4, sitk.sitkUInt8) + 1, {"no_tumour": False})
    assert [one["image"] for one in at_once(store.final_labels)] == [CT]
    assert at_once(store.undecided_labels) == [OTHER_CT]
    (store.data_dir / "pairs.json").write_text(f'{{"{OTHER_CT}": "{SECOND_PET}"}}')
    assert store.undecided_labels() == [] and len(store.final_labels()) == 2


def test_a_choice_of_a_person_needs_no_pacs(store, tmp_path, at_once):
    (tmp_path / "data" / "pairs.json").write_text(f'{{"{OTHER_CT}": "{SECOND_PET}"}}')
    assert at_once(store.case_ids) == [CT, OTHER_CT]
    assert at_once(store.resolve, SECOND_PET) == (OTHER_CT, "pet")


def test_a_damaged_decision_is_none(store, tmp_path, at_once):
    listing = store._listing.get()
    key = sorted([uid, 3] for uid in (OTHER_CT, FIRST_PET, SECOND_PET))
    path = tmp_path / "data" / "cache" / "pairs" / "1.2.2.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for content in ({"series": key}, {"series": key, "pair": {"ct": OTHER_CT}}, []):
        path.write_text(json.dumps(content))
        assert store._pairs.known("1.2.2", listing) is None and at_once(store.case_ids) == [CT]
    path.write_text(json.dumps({"series": key, "pair": {"ct": OTHER_CT, "pet": FIRST_PET, "reason": ""}}))
    assert at_once(store.case_ids) == [CT, OTHER_CT]


@pytest.fixture
def fetched(store) -> sitk.Image:
    """CT and PET of the first case are in the cache, and that they are a pair; the CT."""
    image = sitk.Image(4, 5, 6, sitk.sitkInt16)
    for kind, uid in (("ct", CT), ("pet", PET)):
        folder = store.data_dir / "cache" / kind
        folder.mkdir(parents=True)
        sitk.WriteImage(image, str(folder / f"{uid}.nii.gz"))
        (folder / f"{uid}.json").write_text('{"objects": 3, "decisions": []}')
    decision = {"series": [[CT, 3], [PET, 3]], "pair": {"ct": CT, "pet": PET, "reason": ""}}
    (store.data_dir / "cache" / "pairs").mkdir(exist_ok=True)
    (store.data_dir / "cache" / "pairs" / "1.2.1.json").write_text(json.dumps(decision))
    return image


class MadeUpTask:
    """Reads the case and computes nothing."""

    description = "made up"

    def __init__(self, store):
        self.store = store

    def config(self):
        return {}

    def __call__(self, request):
        return None, {"pet": self.store.case(request["case_id"])["pet"]}


def test_fetched_cases_are_segmented_and_labelled_while_every_thread_waits(store, hanging, fetched, tmp_path, at_once):
    (tmp_path / "temporary").mkdir()
    app = SimpleNamespace(datastore=lambda: store, on_save_label=lambda *_: None)
    app.folders = SimpleNamespace(temporary=tmp_path / "temporary")
    app.infers = lambda: {"igtv": MadeUpTask(store)}
    app.infer = lambda request, datastore=None: run_inference(app, request, datastore)
    workers, label = Workers(max_waiting=2), tmp_path / "label.nii.gz"
    mask = sitk.Image(fetched.GetSize(), sitk.sitkUInt8)
    mask[1:3, 1:3, 1:3] = 1
    sitk.WriteImage(mask, str(label))
    asking = [("GET", "/datastore/image"), ("HEAD", "/datastore/image"), ("POST", "/infer/igtv")] * PACS_THREADS
    with served(cases.create_router(app, workers), infer.create_router(app, workers)) as client:
        threads = [
            threading.Thread(target=client.request, args=one, kwargs={"params": {"image": OTHER_CT}}) for one in asking
        ]
        for thread in threads[: PACS_THREADS + 4]:
            thread.start()
        try:
            wait_for(lambda: workers._pacs.available_tokens == 0)
            answer = at_once(lambda: client.post(f"/infer/igtv?image={CT}&output=json"))
            assert answer.status_code == 200 and PET in answer.json()["pet"]
            assert at_once(lambda: client.head(f"/datastore/image?image={CT}")).status_code == 200
            answer = at_once(lambda: client.put(f"/datastore/label?image={CT}", files={"label": label.open("rb")}))
            assert answer.status_code == 200 and store.get_labeled_images() == [CT]
            assert sum(path.endswith(f"/series/{OTHER_CT}") for path in hanging.asked) == 1  # one for all who wait
        finally:
            hanging.release()
        for thread in threads[: PACS_THREADS + 4]:
            thread.join(LONG_S)


def test_a_retrieval_that_fails_is_not_repeated_by_each_who_asks_and_leaves_nothing(
    store, hanging, monkeypatch, at_once
):
    monkeypatch.setattr(pacs, "ANSWER_SECONDS", 0.5)
    for _ in range(3):
        with pytest.raises(PacsError, match="does not answer a retrieve"):
            at_once(store.ct_path, OTHER_CT)
    assert sum(path.endswith(f"/series/{OTHER_CT}") for path in hanging.asked) == 1
    assert list((store.data_dir / "cache" / "dicom").iterdir()) == []
    monkeypatch.setattr(shared_work, "FAILURE_SECONDS", 0.0)
    with pytest.raises(PacsError):
        store.ct_path(OTHER_CT)
    assert sum(path.endswith(f"/series/{OTHER_CT}") for path in hanging.asked) == 2


def test_an_answer_that_comes_byte_by_byte_ends_too(store, hanging, monkeypatch, at_once):
    hanging.dripping.set()
    monkeypatch.setattr(pacs, "WHOLE_ANSWER_SECONDS", 0.5)
    with pytest.raises(PacsError, match="does not answer a retrieve"):
        at_once(store.ct_path, OTHER_CT)


def test_who_gives_up_leaves_the_retrieval_to_others(store, at_once):
    with pytest.raises(PacsSlow, match="try again") as refused:
        at_once(store._volumes.ct, store.series(OTHER_CT), time.monotonic() + 0.1)
    assert refused.value.http_status == 503 and refused.value.headers["Retry-After"]
    assert list(store._volumes._work._running) == [f"ct {OTHER_CT}", f"dicom {OTHER_CT}"]


def test_a_label_is_checked_on_the_ct_that_is_here(store, fetched, monkeypatch, at_once):
    """The PACS has a slice more by now, and does not give it."""
    monkeypatch.setattr(dicomweb_datastore, "NEWER_CT_SECONDS", 0.1)
    notes = store.data_dir / "cache" / "ct" / f"{CT}.json"
    notes.write_text('{"objects": 2, "decisions": []}')
    assert at_once(store.label_grid_path, CT).is_file()
    assert not store.is_here(CT) and store.is_here(CT, "grid") and not store.is_here(CT, "image")
    with pytest.raises(PacsError):
        at_once(store._pet, OTHER_CT, time.monotonic() + 0.1)
