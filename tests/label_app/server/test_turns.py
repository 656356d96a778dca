"""One computes, a few wait, others are told to come back; quick questions never wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from lib.server.background import BackgroundWork
from lib.server.network_queue import NetworkBusy, NetworkQueue

from ..waiting import wait_for
from .conftest import ended

LONG_S = 60.0


def test_info_answers_while_an_inference_computes(serve, made_up_app):
    """Also with a full line; further inferences are refused at once, with a time to come back."""
    made_up_app.task.hold.clear()
    made_up_app.network.wait_seconds = LONG_S
    client, answers = serve(), []
    with client:

        def infer():
            answers.append(client.post("/infer/igtv?image=case_a&output=json").status_code)

        threads = [threading.Thread(target=infer) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert made_up_app.task.started.wait(LONG_S)
        wait_for(lambda: made_up_app.network.waiting == 2)
        for _ in range(5):
            assert client.get("/info/").status_code == 200
        refused = client.post("/infer/igtv?image=case_a")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").json()["network"] == {"busy": True, "waiting": 2}
        assert answers == [] and made_up_app.task.together == 1  # the first one still has the turn
        made_up_app.task.hold.set()
        for thread in threads:
            thread.join(LONG_S)
    assert answers == [200] * 3
    assert made_up_app.task.most_together == 1


def test_work_that_nobody_waits_for_stands_in_a_full_line():
    queue, done = NetworkQueue(0, LONG_S), []

    def work():
        with queue.turn(line_may_be_full=True):
            done.append(True)

    with queue.turn():
        thread = threading.Thread(target=work)
        thread.start()
        wait_for(lambda: queue.waiting == 1)
        with pytest.raises(NetworkBusy), ThreadPoolExecutor(1) as other:
            other.submit(queue.turn().__enter__).result()
    thread.join(LONG_S)
    assert done == [True]


def test_turns_come_in_order_and_again_for_the_same_thread():
    queue, order = NetworkQueue(10, LONG_S), []

    def work(number):
        with queue.turn(), queue.turn():
            order.append(number)

    with queue.turn():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda number=number: queue.waiting == number + 1)
    for thread in threads:
        thread.join(LONG_S)
    assert order == [0, 1, 2, 3]
    assert not queue.busy and queue.waiting == 0


def test_a_wait_that_is_too_long_ends():
    queue = NetworkQueue(10, 0.05)
    errors = []

    def wait():
        try:
            with queue.turn():
                pass
        except NetworkBusy as error:
            errors.append(error)

    with queue.turn():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(LONG_S)
    assert len(errors) == 1 and queue.waiting == 0
    with queue.turn():
        pass  # the one who gave up left nothing behind


def test_an_error_gives_the_turn_back():
    queue = NetworkQueue()
    with pytest.raises(KeyError), queue.turn():
        raise KeyError
    assert not queue.busy


def test_background_work_runs_one_at_a_time_and_stops():
    """A stop is seen at the next step, though every further one could be made."""
    work, steps = BackgroundWork("scoring"), []
    begun, go = threading.Semaphore(0), threading.Semaphore(0)

    def count(say):
        for number in range(1000):
            say(f"step {number}")
            steps.append(number)
            begun.release()
            go.acquire(timeout=LONG_S)

    def ended_as():
        wait_for(lambda: work.status().get("end_ts"))
        return work.status()["status"]

    first = work.start({"method": "x"}, count)
    assert first["status"] in ("SUBMITTED", "RUNNING")
    assert begun.acquire(timeout=LONG_S)
    with pytest.raises(ValueError, match="running already"):
        work.start({}, count)
    assert work.stop()["status"] == "STOPPED"
    go.release(1000)
    assert ended_as() == "STOPPED" and steps == [0]
    assert work.status()["request"] == {"method": "x"}
    work.start({}, lambda say: 3, enqueue=True)
    assert ended_as() == "DONE" and work.status()["details"] == ["done: 3"]
    work.start({}, lambda say: 1 / 0)
    assert ended_as() == "ERROR" and "ZeroDivisionError" in work.status()["details"][-1]


def test_batch_inference_waits_for_the_pacs_without_the_turn(local, made_up_app, monkeypatch):
    fetched = []

    def fetch(case):
        fetched.append((case, made_up_app.network.busy))

    monkeypatch.setattr(made_up_app.store, "is_here", lambda case, what="case": case == "case_b")
    monkeypatch.setattr(made_up_app.store, "case", fetch)
    assert local.post("/batch/infer/igtv?images=all", json={}).status_code == 200
    assert ended(local, "/batch/infer")["status"] == "DONE"
    assert fetched == [("case.c-1", False), ("case_a", False)]


def test_batch_inference_takes_one_case_after_the_other(local, made_up_app, leftovers):
    """The defaults of MONAI Label's client, on a computer without a GPU."""
    params = {"multi_gpu": True, "gpus": "all", "save_label": True, "label_tag": "original", "max_workers": 4}
    assert local.post("/batch/infer/igtv?images=all", json=params).status_code == 200
    status = ended(local, "/batch/infer")
    assert status["status"] == "DONE", status
    assert [request["case_id"] for request in made_up_app.task.requests] == ["case.c-1", "case_a", "case_b"]
    assert made_up_app.store.saved == []  # tasks keep their proposals themselves
    assert made_up_app.task.most_together == 1
    assert leftovers() == []


FAILURES = {
    "of its files": (ValueError("no PET"), "case_a failed: no PET"),
    "of the network": (RuntimeError("out of memory"), "case_a failed: The server failed (RuntimeError)"),
    "of a file of the server": (
        FileNotFoundError(2, "No such file", "/srv/DOE.nii.gz"),
        "case_a failed: The server failed (FileNotFoundError)",
    ),
    "that nobody foresaw": (KeyError("/srv/DOE.nii.gz"), "case_a failed: The server failed (KeyError)"),
}


@pytest.mark.parametrize(("failure", "words"), FAILURES.values(), ids=FAILURES)
def test_batch_inference_goes_on_after_a_case_that_fails(local, made_up_app, leftovers, failure, words):
    """Which one it was is said, and nothing that only the log may hold."""
    made_up_app.task.failures["case_a"] = failure
    assert local.post("/batch/infer/igtv?images=all", json={}).status_code == 200
    status = ended(local, "/batch/infer")
    assert [request["case_id"] for request in made_up_app.task.requests] == ["case.c-1", "case_a", "case_b"]
    assert status["status"] == "ERROR" and status["details"][-1] == "1 of 3 cases failed: case_a"
    first, second, third, _ = status["details"]
    assert (first, third) == ("1 of 3: case.c-1", "3 of 3: case_b")
    assert second.startswith(f"2 of 3: {words}") and "DOE" not in second
    assert leftovers() == [] and not made_up_app.network.busy
