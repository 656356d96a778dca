"""One computes, a few wait, others are told to come back; quick questions never wait."""

import threading
import time

import pytest
from lib.server.background import BackgroundWork
from lib.server.network_queue import NetworkBusy, NetworkQueue


def test_info_answers_while_an_inference_computes(serve, made_up_app):
    """Also with a full line; further inferences are refused at once, with a time to come back."""
    made_up_app.task.hold.clear()
    client, answers = serve(), []
    with client:

        def infer():
            answers.append(client.post("/infer/igtv?image=case_a&output=json").status_code)

        threads = [threading.Thread(target=infer) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert made_up_app.task.started.wait(10)
        until = time.monotonic() + 10
        while made_up_app.network.waiting < 2 and time.monotonic() < until:
            time.sleep(0.01)
        start = time.monotonic()
        for _ in range(5):
            assert client.get("/info/").status_code == 200
        refused = client.post("/infer/igtv?image=case_a")
        assert time.monotonic() - start < 4.0  # the turn is held for longer
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").json()["network"] == {"busy": True, "waiting": 2}
        made_up_app.task.hold.set()
        for thread in threads:
            thread.join(10)
    assert answers == [200] * 3
    assert made_up_app.task.most_together == 1


def test_turns_come_in_order_and_again_for_the_same_thread():
    queue, order = NetworkQueue(10, 5.0), []

    def work(number):
        with queue.turn(), queue.turn():
            order.append(number)

    with queue.turn():
        threads = []
        for number in range(4):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            while queue.waiting <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(5)
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
        thread.join(5)
    assert len(errors) == 1 and queue.waiting == 0
    with queue.turn():
        pass  # the one who gave up left nothing behind


def test_an_error_gives_the_turn_back():
    queue = NetworkQueue()
    with pytest.raises(KeyError), queue.turn():
        raise KeyError
    assert not queue.busy


def wait_for(work, status):
    until = time.monotonic() + 10
    while work.status()["status"] != status and time.monotonic() < until:
        time.sleep(0.01)
    return work.status()


def test_background_work_runs_one_at_a_time_and_stops():
    work, held = BackgroundWork("scoring"), threading.Event()

    def count(say):
        for number in range(1000):
            say(f"step {number}")
            held.wait(0.01)

    first = work.start({"method": "x"}, count)
    assert first["status"] in ("SUBMITTED", "RUNNING")
    with pytest.raises(ValueError, match="running already"):
        work.start({}, count)
    assert work.stop()["status"] == "STOPPED"
    held.set()
    done = wait_for(work, "STOPPED")
    assert done["request"] == {"method": "x"}
    work.start({}, lambda say: 3, enqueue=True)
    assert wait_for(work, "DONE")["details"] == ["done: 3"]
    work.start({}, lambda say: 1 / 0)
    assert "ZeroDivisionError" in wait_for(work, "ERROR")["details"][-1]


def test_batch_inference_waits_for_the_pacs_without_the_turn(local, made_up_app, monkeypatch):
    fetched = []

    def fetch(case):
        fetched.append((case, made_up_app.network.busy))

    monkeypatch.setattr(made_up_app.store, "is_here", lambda case, what="case": case == "case_b")
    monkeypatch.setattr(made_up_app.store, "case", fetch)
    assert local.post("/batch/infer/igtv?images=all", json={}).status_code == 200
    until = time.monotonic() + 10
    while local.get("/batch/infer").json()["status"] in ("SUBMITTED", "RUNNING") and time.monotonic() < until:
        time.sleep(0.02)
    assert fetched == [("case.c-1", False), ("case_a", False)]


def test_batch_inference_takes_one_case_after_the_other(local, made_up_app, leftovers):
    """The defaults of MONAI Label's client, on a computer without a GPU."""
    params = {"multi_gpu": True, "gpus": "all", "save_label": True, "label_tag": "original", "max_workers": 4}
    assert local.post("/batch/infer/igtv?images=all", json=params).status_code == 200
    until = time.monotonic() + 10
    while local.get("/batch/infer").json()["status"] in ("SUBMITTED", "RUNNING") and time.monotonic() < until:
        time.sleep(0.02)
    status = local.get("/batch/infer").json()
    assert status["status"] == "DONE", status
    assert sorted(request["case_id"] for request in made_up_app.task.requests) == ["case.c-1", "case_a", "case_b"]
    assert made_up_app.store.saved == []  # tasks keep their proposals themselves
    assert made_up_app.task.most_together == 1
    assert leftovers() == []
