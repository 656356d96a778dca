"""The next case: scores once per model, unlabelled first, no case to two annotators, never waiting for the network."""

import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
from lib.activelearning import scoring
from lib.activelearning.next_case import UNUSABLE_NOTE, annotator_of
from lib.infer import inputs
from lib.server.background import Stopped
from lib.studies.pacs import PacsError

from ..waiting import wait_for
from .conftest import PROBABILITIES, CountingSegmenter

LONG_S = 60.0


def ask(app, strategy, who="anna"):
    return app.strategies[strategy]({"strategy": strategy, "client_id": who}, app.store)


@pytest.fixture
def clock(monkeypatch):
    """`clock.now`: the time in s by which the scoring tries again; only a test moves it on."""
    clock = SimpleNamespace(now=1000.0, sleep=time.sleep)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(scoring, "time", clock)
    return clock


def test_uncertainty_is_offered_first(app):
    assert next(iter(app.strategies)) == "uncertainty"
    assert set(app.strategies) == {"uncertainty", "first", "random", "foreground_random", "diverse"}
    assert all(strategy.info()["description"] for strategy in app.strategies.values())


def test_scores_once_per_model_and_for_the_unlabelled_first(app):
    app.store.labelled = {"a"}
    calls = app.proposals.segmenter.calls
    assert app.scoring({}, app.store) == {"scored": 6, "failed": 0}
    assert calls == ["b", "c", "d", "e", "f", "a"]
    assert app.scoring({}, app.store) == {"scored": 0, "failed": 0}
    app.models["igtv"].number = 2
    app.store.labelled = {"a", "b"}
    assert app.scoring({}, app.store)["scored"] == 6
    assert calls[6:] == ["c", "d", "e", "f", "a", "b"]


def test_diverse_keeps_away_from_what_was_labelled_before_this_version(app):
    """Of c (0.6), d (0.8) and b (0.95), the more uncertain half, b is least like e (0.7); alike in all but that."""
    app.store.labelled = {"e"}
    app.models["igtv"].number = 2
    app.scoring({}, app.store)
    assert ask(app, "diverse")["id"] == "b"


@pytest.mark.parametrize("busy", [False, True])
def test_scoring_ends_where_it_is_stopped(app, busy):
    """After a case, or while it waits for annotators; a later one does the rest."""

    def say(line=""):
        raise Stopped

    app.network = SimpleNamespace(busy=busy, waiting=0)
    with pytest.raises(Stopped):
        app.scoring({}, app.store, say)
    assert app.proposals.segmenter.calls == ([] if busy else ["a"])
    app.network.busy = False
    assert app.scoring({}, app.store)["scored"] == (6 if busy else 5)


def test_scores_survive_a_restart(app):
    app.scoring({}, app.store)
    from lib.activelearning.score_book import ScoreBook

    again = ScoreBook(app.folders.scores)
    assert again.scores(app.models["igtv"].current()) == app.scorer.book.scores(app.models["igtv"].current())
    assert len(again.scores(app.models["igtv"].current())) == len(PROBABILITIES)


def test_damaged_scores_are_made_again(app):
    app.scoring({}, app.store)
    (path,) = app.folders.scores.glob("igtv-*.json")
    path.write_text("{")
    from lib.activelearning.score_book import ScoreBook

    assert ScoreBook(app.folders.scores).scores(app.models["igtv"].current()) == {}


def test_most_uncertain_first(app):
    """p = 0.6 is nearest to a coin's toss, then 0.7, 0.8, 0.95, 0.99; certain of nothing comes last."""
    app.scoring({}, app.store)
    assert [ask(app, "uncertainty")["id"] for _ in range(6)] == ["c", "e", "d", "b", "a", "f"]


def test_answer_says_what_the_choice_rests_on(app):
    app.scoring({}, app.store)
    answer = ask(app, "uncertainty")
    assert answer["uncertainty"] == pytest.approx(0.971, abs=2e-3)  # entropy of 0.6 in bits
    assert answer["tumour_ml"] == pytest.approx(100 * 0.064)
    assert (answer["model"], answer["model_version"]) == ("igtv", 1)


def test_inference_of_an_annotator_counts_as_score(app):
    from lib.infer.inputs import requested_case

    app.proposals.get(app.models["igtv"].current(), requested_case({"case_id": "d"}, app.store))
    assert ask(app, "uncertainty")["id"] == "d"


@pytest.mark.parametrize("strategy", ["first", "random", "uncertainty", "foreground_random", "diverse"])
def test_no_case_to_two_annotators(app, strategy):
    app.scoring({}, app.store)
    anna = [ask(app, strategy, "anna")["id"] for _ in range(3)]
    ben = [ask(app, strategy, "ben")["id"] for _ in range(3)]
    assert sorted(anna + ben) == list("abcdef")
    assert ask(app, strategy, "cleo") is None
    assert ask(app, strategy, "anna")["id"] == anna[0]  # her own, which she did not submit
    app.store.labelled = {ben[0]}
    assert ask(app, strategy, "cleo") is None


@pytest.mark.parametrize("strategy", ["first", "random", "uncertainty", "foreground_random", "diverse"])
def test_a_gap_in_the_listing_gives_no_case_to_two(app, strategy, monkeypatch):
    """A study that is still arriving in the PACS is not listed until its headers are decided again."""
    given = ask(app, strategy, "anna")["id"]
    with monkeypatch.context() as gap:
        gap.setattr(app.store, "get_unlabeled_images", lambda: [case for case in PROBABILITIES if case != given])
        others = [ask(app, strategy, "ben")["id"]]
    others += [ask(app, strategy, "ben")["id"] for _ in range(4)]
    assert given not in others and len(set(others)) == 5
    assert ask(app, strategy, "cleo") is None
    assert ask(app, strategy, "anna")["id"] == given


def test_what_is_listed_is_asked_for_when_nobody_else_chooses(app, monkeypatch):
    """Between the listing and the choice no other request can give a case out, or forget who has one."""
    lock, free = app.strategies["first"].given_out.lock, []

    def look():
        free.append(lock.acquire(blocking=False))
        if free[-1]:
            lock.release()

    def looked_at(listing):
        other = threading.Thread(target=look)
        other.start()
        other.join(LONG_S)
        return listing()

    for name in ("get_unlabeled_images", "get_labeled_images"):
        monkeypatch.setattr(app.store, name, partial(looked_at, getattr(app.store, name)))
    assert ask(app, "first")["id"] == "a" and free == [False, False]


def test_annotators_who_ask_together_get_different_cases(app):
    """Twelve annotators press the button together: six get a case each, six get none."""
    found, ready = [], threading.Barrier(12)

    def press(number):
        ready.wait(LONG_S)
        found.append(ask(app, "random", f"annotator {number}"))

    threads = [threading.Thread(target=press, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(answer["id"] for answer in found if answer) == list("abcdef")
    assert found.count(None) == 6


def test_first_is_in_order_and_needs_no_network(app):
    assert [ask(app, "first")["id"] for _ in range(3)] == ["a", "b", "c"]
    assert not app.proposals.segmenter.calls


def test_labelled_cases_are_not_given(app):
    app.store.labelled = set("abcde")
    assert ask(app, "random")["id"] == "f"
    app.store.labelled.add("f")
    assert ask(app, "random") is None


def test_without_scores_by_chance_and_at_once(app):
    """The network is slow and busy; the answer does not wait, and the scores come in the background."""
    begun, release = threading.Event(), threading.Event()
    quick = app.proposals.segmenter

    class Slow(CountingSegmenter):
        def segment(self, *paths):
            begun.set()
            release.wait(LONG_S)
            return quick.segment(*paths)

    app.proposals.segmenter = Slow()
    answer = ask(app, "uncertainty")
    assert begun.wait(LONG_S) and quick.calls == []
    assert "by chance" in answer["note"]
    release.set()
    wait_for(lambda: len(app.scorer.book.scores(app.models["igtv"].current())) == 6)
    rest = [case for case in ["c", "e", "d", "b", "a", "f"] if case != answer["id"]]
    assert ask(app, "uncertainty")["id"] == rest[0]


def test_scoring_lets_annotators_go_first(app, clock):
    """While somebody has the network, no case is scored, however often the scoring looks."""
    entered, leave, looked = threading.Event(), threading.Event(), threading.Semaphore(0)
    clock.sleep = lambda seconds: (looked.release(), time.sleep(0.001))

    def hold():
        with app.network.turn():
            entered.set()
            leave.wait(LONG_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(LONG_S)
    app.scorer.start()
    assert all(looked.acquire(timeout=LONG_S) for _ in range(3))
    assert app.network.busy and not app.network.waiting and not app.proposals.segmenter.calls
    leave.set()
    holder.join(LONG_S)
    wait_for(lambda: len(app.proposals.segmenter.calls) == 6)


def test_case_that_cannot_be_scored_does_not_stop_the_others(app, monkeypatch):
    monkeypatch.setitem(PROBABILITIES, "missing", 0.5)
    assert app.scoring({}, app.store) == {"scored": 6, "failed": 1}
    assert app.scorer.problems == {"missing": "no PET"}
    assert app.scoring({}, app.store) == {"scored": 0, "failed": 0}


@pytest.mark.parametrize("strategy", ["first", "random", "uncertainty", "foreground_random", "diverse"])
def test_case_that_cannot_be_used_comes_last(app, strategy, monkeypatch):
    """Behind the frozen ones too, of which b is one here; the annotator reads why."""
    monkeypatch.setitem(PROBABILITIES, "0 missing", 0.5)
    monkeypatch.setattr(app.strategies[strategy], "held_out", SimpleNamespace(among=lambda *_: {"b"}))
    app.scorer.problems["0 missing"] = "it has no PET"
    found = [ask(app, strategy) for _ in range(5)]
    assert {answer["id"] for answer in found} == set("acdef") and not any("PET" in str(answer) for answer in found)
    app.store.labelled = set("acdef")
    assert ask(app, strategy)["id"] == "b"
    app.store.labelled.add("b")
    for _ in range(2):
        last = ask(app, strategy)
        assert last["id"] == "0 missing" and last["note"] == f"{UNUSABLE_NOTE}: it has no PET"
    assert ask(app, strategy, "ben") is None


def test_images_that_become_usable_are_found_out(app, clock, monkeypatch):
    """By the scoring after some minutes, or earlier by an annotator's request."""
    found, incomplete = app.store.case, {"c", "d"}

    def case(name):
        if name in incomplete:
            raise inputs.PetMissing("slices are missing")
        return found(name)

    monkeypatch.setattr(app.store, "case", case)
    assert app.scoring({}, app.store) == {"scored": 4, "failed": 2} and set(app.scorer.problems) == {"c", "d"}
    incomplete.clear()
    assert app.scoring({}, app.store) == {"scored": 0, "failed": 0}
    app.proposals.get(app.models["igtv"].current(), inputs.requested_case({"case_id": "d"}, app.store))
    assert set(app.scorer.problems) == {"c"}
    clock.now += scoring.IMAGES_RETRY_S
    assert app.scoring({}, app.store) == {"scored": 1, "failed": 0} and app.scorer.problems == {}


def test_a_pacs_that_is_away_for_a_while_does_not_end_the_scoring(app, clock, monkeypatch):
    """The round ends, since the next case would fare no better; a later one scores every case."""
    found, asked = app.store.case, []

    def away(case):
        asked.append(case)
        raise PacsError("the PACS does not answer")

    monkeypatch.setattr(app.store, "case", away)
    assert app.scoring({}, app.store) == {"scored": 0, "failed": 1}
    assert asked == ["a"] and app.scorer.problems == {}
    monkeypatch.setattr(app.store, "case", found)
    assert app.scoring({}, app.store) == {"scored": 5, "failed": 0}  # not yet the one that failed
    clock.now += scoring.RETRY_S
    assert app.scoring({}, app.store) == {"scored": 1, "failed": 0}


def test_a_failure_that_may_pass_is_tried_again_after_the_others(app, clock, monkeypatch):
    found, full = app.store.case, [True]

    def case(name):
        if name == "b" and full:
            raise OSError(28, "no space left")
        return found(name)

    monkeypatch.setattr(app.store, "case", case)
    assert app.scoring({}, app.store) == {"scored": 5, "failed": 1} and app.scorer.problems == {}
    full.clear()
    clock.now += scoring.RETRY_S - 1
    assert app.scoring({}, app.store) == {"scored": 0, "failed": 0}  # a minute has not passed
    clock.now += 1
    assert app.scoring({}, app.store) == {"scored": 1, "failed": 0}
    assert app.proposals.segmenter.calls == ["a", "c", "d", "e", "f", "b"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"user": "anna", "client_id": "slicer"}, "anna"),
        ({"user": "local", "client_id": "slicer-7"}, "slicer-7"),  # nobody logs in: all there is
        ({"client_id": "slicer-7"}, "slicer-7"),
        ({"user": None, "client_id": None}, "local"),
    ],
)
def test_whose_case_it_is(request_, expected):
    assert annotator_of(request_) == expected
