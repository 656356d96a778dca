"""Scoring and models over many cases: what a stop ends, and what is handed on."""

import threading

import pytest
from lib.server.background import BackgroundWork

from .conftest import ended

LONG_S = 20.0


class MadeUpScoring:
    """Three cases, each of which a test lets through."""

    def __init__(self):
        self.scored: list[str] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, request, datastore, say):
        for case in datastore.list_images():
            self.begun.release()
            self.go.acquire(timeout=LONG_S)
            self.scored.append(case)
            say(f"{case}: scored")
        return {"scored": 3}


@pytest.fixture
def scoring(made_up_app):
    method = MadeUpScoring()
    made_up_app.scoring_methods = lambda: {"entropy": method}
    return method


def test_scoring_says_how_far_it_is(local, scoring):
    scoring.go.release(3)
    assert local.post("/scoring/entropy").status_code == 200
    done = ended(local, "/scoring/")
    assert done["status"] == "DONE" and scoring.scored == ["case.c-1", "case_a", "case_b"]
    assert done["details"][:3] == ["case.c-1: scored", "case_a: scored", "case_b: scored"]


def test_a_stopped_scoring_ends_after_its_case(local, scoring):
    local.post("/scoring/entropy")
    assert scoring.begun.acquire(timeout=LONG_S)
    assert local.delete("/scoring/").json()["status"] == "STOPPED"
    scoring.go.release(3)
    assert ended(local, "/scoring/")["status"] == "STOPPED" and scoring.scored == ["case.c-1"]


class InterruptedTask(dict):
    """The record of a task that is asked to stop just when its turn has come and its status was looked at."""

    def __init__(self, work: BackgroundWork):
        super().__init__(id="1", status="SUBMITTED", request={}, details=[])
        self.stopper = threading.Thread(target=work.stop)

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if key == "status" and self.stopper.ident is None and threading.current_thread() is threading.main_thread():
            self.stopper.start()
            self.stopper.join(0.2)  # it waits for its turn at the record, or has set the status by then
        return found


def test_a_stop_that_comes_with_the_beginning_is_not_lost():
    work, done = BackgroundWork("training"), []
    task = InterruptedTask(work)
    work._tasks.append(task)

    def train(say):
        task.stopper.join(LONG_S)
        say()
        done.append("trained")

    work._run(task, train)
    assert done == [] and work.status()["status"] == "STOPPED"


def test_many_cases_are_computed_where_the_server_computes(local, made_up_app):
    """MONAI Label's client sends a device and numbers of workers; nothing here would look at them."""
    sent = {"device": "cpu", "multi_gpu": True, "max_workers": 4, "logging": "ERROR", "max_batch_size": 1}
    assert local.post("/batch/infer/igtv", json=sent).status_code == 200
    assert ended(local, "/batch/infer")["status"] == "DONE"
    (request,) = made_up_app.task.requests
    assert not {"device", "multi_gpu", "max_workers"} & set(request) and request["logging"] == "ERROR"
