"""Paired comparison of two runs."""

import numpy as np
import pytest
from igtv.evaluation.case_metrics import METRICS
from igtv.evaluation.compare import PRIMARY, compare_runs, rows_by_stratum, volume_stratum


def make_rows(dices, volumes=None, **columns):
    volumes = volumes or [20.0] * len(dices)
    rows = []
    for number, (dice, volume) in enumerate(zip(dices, volumes, strict=True)):
        row = {"case": f"P{number}"} | {metric.name: 0.0 for metric in METRICS}
        row |= {"dice": dice, "volume_reference_ml": volume}
        rows.append(row | {name: values[number] for name, values in columns.items()})
    return rows


def test_differences_by_hand_whatever_the_order_of_the_patients():
    first, second = make_rows([0.7, 0.8, 0.9, 0.6, 0.5]), make_rows([0.6, 0.6, 0.6, 0.2, 0.0])
    result = compare_runs(first, second[::-1], "new", "old", resamples=500)
    dice = result["metrics"]["dice"]
    assert dice["mean_difference"] == pytest.approx(0.3)
    assert dice["p_wilcoxon"] == pytest.approx(2 / 32)
    assert dice["p_holm"] >= dice["p_wilcoxon"]
    assert [case["case"] for case in result["cases"]] == ["P0", "P1", "P2", "P3", "P4"]
    assert [case["difference"] for case in result["cases"]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (result["name"], result["other_name"], result["n_cases"]) == ("new", "old", 5)


def test_holm_runs_over_the_primary_metrics():
    first, second = make_rows([0.7, 0.8, 0.9, 0.6, 0.5]), make_rows([0.6, 0.6, 0.6, 0.2, 0.0])
    metrics = compare_runs(first, second, resamples=50)["metrics"]
    # the others are equal in both runs: p = 1 each, so the one test is multiplied by their number
    assert metrics["dice"]["p_holm"] == pytest.approx(len(PRIMARY) * 2 / 32)
    assert {name for name, numbers in metrics.items() if not np.isnan(numbers["p_holm"])} == set(PRIMARY)
    assert set(metrics) == {metric.name for metric in METRICS if metric.better}


def test_signed_errors_are_compared_by_their_size():
    first = make_rows([0.5, 0.5], volume_error_ml=[-4.0, 4.0])
    second = make_rows([0.5, 0.5], volume_error_ml=[1.0, -1.0])
    error = compare_runs(first, second, resamples=50)["metrics"]["volume_error_ml"]
    assert (error["mean_first"], error["mean_second"], error["mean_difference"]) == (4.0, 1.0, 3.0)


def test_different_patients_are_an_error_that_names_them():
    first, second = make_rows([0.5, 0.6, 0.7]), make_rows([0.5, 0.6])
    second[1]["case"] = "Q9"
    with pytest.raises(ValueError, match="only in new: P1, P2; only in old: Q9"):
        compare_runs(first, second, "new", "old")


def test_other_references_and_doubled_patients_are_errors():
    first = make_rows([0.5, 0.6])
    with pytest.raises(ValueError, match="P1: the reference measures 20.00 ml in new and 25.00 ml in old"):
        compare_runs(first, make_rows([0.5, 0.6], [20.0, 25.0]), "new", "old")
    with pytest.raises(ValueError, match="more than once"):
        compare_runs([*first, first[0]], first)


def test_references_of_one_size_are_told_apart_where_both_runs_have_their_hash():
    first, second = (make_rows([0.5, 0.6], reference_sha256=["a", last]) for last in "bc")
    with pytest.raises(ValueError, match="P1: the reference .20.00 ml in new, 20.00 ml in old. is another mask"):
        compare_runs(first, second, "new", "old")
    for unknown in (make_rows([0.5, 0.6]), make_rows([0.5, 0.6], reference_sha256=["a", ""])):
        assert compare_runs(first, unknown, resamples=50)["n_cases"] == 2


def test_undefined_pairs_are_counted():
    result = compare_runs(make_rows([0.5, np.nan, 0.7]), make_rows([0.4, np.nan, 0.5]), resamples=50)
    assert (result["metrics"]["dice"]["n"], result["metrics"]["dice"]["n_undefined"]) == (2, 1)


def test_strata_by_volume():
    assert [volume_stratum(volume) for volume in (0, 4.9, 5, 30, 30.1)] == [
        "no target",
        "< 5 ml",
        "5 to 30 ml",
        "5 to 30 ml",
        "> 30 ml",
    ]
    rows = make_rows([0.1, 0.2, 0.3], [50.0, 3.0, 70.0])
    groups = rows_by_stratum(rows)
    assert {name: [row["case"] for row in group] for name, group in groups.items()} == {
        "< 5 ml": ["P1"],
        "> 30 ml": ["P0", "P2"],
    }
    strata = compare_runs(rows, make_rows([0.0, 0.0, 0.0], [50.0, 3.0, 70.0]), resamples=50)["by_volume"]
    assert strata["> 30 ml"]["dice"]["mean_difference"] == pytest.approx(0.2)
    assert strata["< 5 ml"]["dice"]["n"] == 1
