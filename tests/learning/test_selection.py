"""Scores and strategies against choices worked out by hand."""

import numpy as np
import pytest
from igtv.learning.selection import STRATEGIES, CaseScore, score_case, select

POOL = {
    "a": CaseScore(0.2, 10.0, (0.0, 0.0)),
    "b": CaseScore(0.9, 0.0, (1.0, 0.0)),
    "c": CaseScore(0.8, 5.0, (1.1, 0.0)),
    "d": CaseScore(0.7, 2.0, (9.0, 9.0)),
    "e": CaseScore(0.1, 0.0, (5.0, 5.0)),
}


def ball(size, radius, probability):
    """A ball of one probability in a volume of zeros."""
    grid = np.indices((size,) * 3) - size // 2
    return np.where(np.linalg.norm(grid, axis=0) <= radius, probability, 0.0).astype(np.float32)


def test_entropy_of_the_region_alone():
    """p = 0.5 is one bit, p = 0.9 is 0.469 bits; what surrounds the tumour does not count, nor does its size."""
    assert score_case(ball(24, 6, 0.5)).uncertainty == pytest.approx(1.0)
    assert score_case(ball(24, 3, 0.9)).uncertainty == pytest.approx(0.46900, abs=1e-4)
    assert score_case(ball(40, 6, 0.9)).uncertainty == pytest.approx(0.46900, abs=1e-4)


def test_of_models_that_see_nothing_a_faint_spot_counts_more():
    """The most likely millilitre is looked at."""
    faint, nothing = score_case(ball(24, 6, 0.04), voxel_ml=0.01), score_case(ball(24, 6, 0.0), voxel_ml=0.01)
    assert faint.foreground_ml == nothing.foreground_ml == 0
    assert faint.uncertainty == pytest.approx(0.2423, abs=1e-3)
    assert nothing.uncertainty < 0.001


def test_volume_of_the_foreground():
    mask = ball(24, 6, 1.0)
    assert score_case(mask, voxel_ml=0.02).foreground_ml == pytest.approx(mask.sum() * 0.02)


def test_features_have_one_length():
    probability = ball(16, 3, 0.7)
    lengths = {len(score_case(p, 0.01, p, p).features) for p in (probability, 0 * probability)}
    assert lengths == {10}
    assert len(score_case(probability).features) == 6


@pytest.mark.parametrize(
    ("strategy", "labelled", "expected"),
    [
        ("first", (), ["a", "b", "c"]),
        ("first", ("a", "c"), ["b", "d", "e"]),
        ("uncertainty", (), ["b", "c", "d"]),
        ("uncertainty", ("b",), ["c", "d", "a"]),
        ("diverse", (), ["b", "d", "c"]),  # the most uncertain, then the farthest from it
        ("diverse", ("b",), ["d", "a", "c"]),
    ],
)
def test_each_strategy_chooses_as_worked_out_by_hand(strategy, labelled, expected):
    assert select(POOL, labelled, strategy, seed=0, count=3) == expected


def test_diverse_avoids_what_is_like_the_labelled():
    """c has the highest uncertainty left, but lies beside b, which is labelled."""
    assert select(POOL, ("b",), "diverse", 0) == ["d"]


def test_random_follows_its_seed_and_reaches_everyone():
    assert select(POOL, (), "random", 3, 5) == select(POOL, (), "random", 3, 5)
    assert {select(POOL, (), "random", seed)[0] for seed in range(60)} == set(POOL)


def test_foreground_random_prefers_cases_with_tumour():
    """3 of 5 have tumour: chosen 2/3 + 1/3 * 3/5 = 0.87 of the time."""
    chosen = [select(POOL, (), "foreground_random", seed)[0] for seed in range(600)]
    share = np.mean([POOL[case].foreground_ml > 0 for case in chosen])
    assert share == pytest.approx(0.867, abs=0.05)
    assert set(chosen) == set(POOL)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_a_labelled_case_and_no_case_twice(strategy):
    chosen = select(POOL, ("b", "d", "unknown"), strategy, 1, 10)
    assert set(chosen) <= {"a", "c", "e"} and len(set(chosen)) == len(chosen)
    assert select(POOL, tuple(POOL), strategy, 1, 10) == []
    assert select({}, (), strategy, 1) == []


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="choose one of"):
        select(POOL, (), "magic", 0)
