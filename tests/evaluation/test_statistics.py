"""Statistics against textbook numbers and closed forms."""

import numpy as np
import pytest
from igtv.evaluation.statistics import bootstrap_mean_interval, holm, paired_difference, summarise, wilcoxon_p


def test_bootstrap_interval_of_many_normal_values_is_the_normal_one():
    values = np.random.default_rng(1).normal(0.7, 0.2, size=400)
    low, high = bootstrap_mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)


def test_bootstrap_of_two_values_by_hand():
    # Means of a resample of {0, 1}: 0, 1/2, 1 with 1/4, 1/2, 1/4, so both 2.5 % ends are the values themselves.
    assert bootstrap_mean_interval([0.0, 1.0], resamples=2000) == (0.0, 1.0)
    assert bootstrap_mean_interval([0.4, 0.4, 0.4], resamples=100) == pytest.approx((0.4, 0.4))


def test_bootstrap_is_seeded_and_leaves_nan_out():
    values = [0.1, 0.5, 0.6, 0.9]
    first = bootstrap_mean_interval(values, seed=3)
    assert first == bootstrap_mean_interval(values, seed=3)
    assert first == bootstrap_mean_interval([*values, np.nan], seed=3)
    assert np.isnan(bootstrap_mean_interval([0.3, np.nan])).all()


def test_summary_by_hand():
    numbers = summarise([1.0, 2.0, 3.0, 6.0, np.nan], resamples=200)
    assert (numbers["n"], numbers["n_undefined"]) == (4, 1)
    assert (numbers["mean"], numbers["median"], numbers["q1"], numbers["q3"]) == (3.0, 2.5, 1.75, 3.75)
    assert numbers["sd"] == pytest.approx(np.sqrt(14 / 3))
    assert (numbers["min"], numbers["max"]) == (1.0, 6.0)
    nothing = summarise([np.nan, np.nan])
    assert (nothing["n"], nothing["n_undefined"]) == (0, 2) and np.isnan(nothing["mean"])


def test_wilcoxon_exact_by_hand():
    # Five differences of one sign: 2 of the 2^5 sign patterns are as extreme.
    assert wilcoxon_p([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    # Rank sums 1 and 14: patterns with a sum of at most 1 are {} and {1}, on both sides 4 of 32.
    assert wilcoxon_p([-0.1, 0.2, 0.3, 0.4, 0.5, np.nan]) == pytest.approx(4 / 32)
    assert wilcoxon_p([0.0, 0.0]) == 1.0
    assert np.isnan(wilcoxon_p([np.nan]))


def test_holm_by_hand():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "none": np.nan})
    assert list(corrected) == ["a", "b", "c", "d", "none"]
    assert [corrected[name] for name in "abcd"] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(corrected["none"])
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_paired_difference_keeps_the_pairs():
    # Patients differ by far more than the runs do: only pairing shows the constant gain of 0.05.
    second = np.random.default_rng(0).uniform(0, 0.9, size=12)
    numbers = paired_difference(second + 0.05, second)
    assert numbers["mean_difference"] == pytest.approx(0.05)
    assert (numbers["ci_low"], numbers["ci_high"]) == pytest.approx((0.05, 0.05))
    assert (numbers["n_first_higher"], numbers["n_second_higher"]) == (12, 0)
    assert numbers["p_wilcoxon"] < 0.001


def test_pairs_with_an_undefined_value_are_left_out_of_both_means():
    numbers = paired_difference([0.5, np.nan, 0.9, 0.4], [0.4, 0.2, np.nan, 0.2], resamples=100)
    assert (numbers["n"], numbers["n_undefined"]) == (2, 2)
    assert (numbers["mean_first"], numbers["mean_second"]) == pytest.approx((0.45, 0.3))
    with pytest.raises(ValueError, match="match"):
        paired_difference([1.0], [1.0, 2.0])
