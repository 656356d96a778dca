"""What `diverse` keeps away from on the server: what is learned from, or soon will be, as in the simulated campaign."""

from types import SimpleNamespace

import pytest
from igtv.learning.selection import CaseScore

# uncertainty and one feature. The more uncertain half is a and b, of which a is least like e; f is as a is
SCORES = {"a": (0.5, 10), "b": (0.5, 4), "c": (0.1, 1), "d": (0.1, 2), "e": (0.1, 0), "f": (0.2, 10)}
FREE = ["a", "b", "c", "d"]


@pytest.fixture
def store(app, monkeypatch):
    """The store of the app, whose cases have `SCORES`; e is labelled."""
    scores = {case: CaseScore(uncertainty, 1.0, (feature,)) for case, (uncertainty, feature) in SCORES.items()}
    monkeypatch.setattr(app.scorer, "book", SimpleNamespace(scores=lambda version: scores, missing=lambda *_: []))
    app.store.labelled = {"e"}
    return app.store


def choose(app, held_out=()):
    strategy = app.strategies["diverse"]
    strategy.held_out = SimpleNamespace(among=lambda cases, datastore: set(held_out) & set(cases))
    return strategy({"client_id": "anna"}, app.store)["id"]


def test_it_keeps_away_from_what_is_labelled(app, store):
    store.labelled = {"e", "f"}
    assert choose(app) == "b"


def test_it_keeps_away_from_what_others_have(app, store):
    app.strategies["diverse"].given_out.give("f", "ben")
    assert choose(app) == "b"


@pytest.mark.parametrize("labelled", [{"e"}, {"e", "f"}], ids=["unlabelled", "labelled"])
def test_nothing_is_like_a_frozen_case(app, store, labelled):
    store.labelled = labelled
    assert choose(app, held_out="f") == "a"


@pytest.mark.parametrize("labelled", [{"e"}, {"e", "f"}], ids=["unlabelled", "labelled"])
def test_nothing_is_like_a_case_that_cannot_be_used(app, store, labelled):
    app.scorer.problems["f"] = "no PET"
    store.labelled = labelled
    assert choose(app) == "a"


def test_nothing_is_like_a_case_that_is_gone(app, store, monkeypatch):
    monkeypatch.setattr(store, "get_unlabeled_images", lambda: FREE)
    assert choose(app) == "a"
