"""Several cases of a patient become one number before any statistics."""

import numpy as np
import pytest
from igtv.evaluation.case_metrics import METRICS
from igtv.evaluation.compare import compare_runs
from igtv.evaluation.overlap import COUNTS
from igtv.evaluation.patients import paired_patient_means, patient_column, patient_means
from igtv.evaluation.statistics import bootstrap_mean_interval
from igtv.evaluation.summary import summarise_run
from igtv.evaluation.tables import read_rows

NAN = float("nan")
ROWS = [
    {"case": "b_1", "patient": "b", "dice": 0.2},
    {"case": "a", "patient": "a", "dice": 0.9},
    {"case": "b_2", "patient": "b", "dice": 0.4},
    {"case": "c", "dice": NAN},
]


def test_cases_of_a_patient_are_averaged_and_a_row_without_patient_is_one_of_its_own():
    assert np.allclose(patient_column(ROWS, "dice"), [0.9, 0.3, NAN], equal_nan=True)


def test_what_is_not_defined_is_left_out_of_a_patients_mean():
    assert np.allclose(patient_means(ROWS, [0.2, NAN, NAN, 0.5]), [NAN, 0.2, 0.5], equal_nan=True)


def test_pairs_are_over_the_cases_that_both_have():
    first, second = paired_patient_means(ROWS, [0.2, 0.9, 0.4, NAN], [0.6, NAN, 0.6, 0.5])
    assert np.allclose(first, [NAN, 0.3, NAN], equal_nan=True)
    assert np.allclose(second, [NAN, 0.6, NAN], equal_nan=True)


def test_a_second_case_of_a_patient_makes_no_interval_narrower():
    """Every patient twice: the numbers of six patients, not of twelve cases."""
    counts = {count + suffix: 1 for count in COUNTS for suffix in ("", "_tumour")}
    rows = []
    for position, patient in enumerate("abcdef"):
        row = {metric.name: 0.0 for metric in METRICS} | {"patient": patient, "dice": position / 10}
        row |= {"volume_reference_ml": 20.0} | counts
        rows += [{**row, "case": f"{patient}_1"}, {**row, "case": f"{patient}_2"}]
    dice = summarise_run(rows, "net", 6.0, 500, 0)["metrics"]["dice"]
    low, high = bootstrap_mean_interval([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], resamples=500)
    assert (dice["n"], dice["mean"], dice["ci_low"], dice["ci_high"]) == (6, 0.25, low, high)
    others = [{**row, "dice": row["dice"] - 0.1} for row in rows]
    comparison = compare_runs(rows, others, resamples=500)
    assert (comparison["n_cases"], comparison["n_patients"]) == (12, 6)
    assert comparison["metrics"]["dice"]["n"] == 6
    assert comparison["metrics"]["dice"]["p_wilcoxon"] == pytest.approx(2 / 64)
    assert comparison["by_volume"]["5 to 30 ml"]["dice"]["n"] == 6


def test_the_patient_is_read_back_as_a_text(tmp_path):
    (tmp_path / "metrics.csv").write_text("case,patient,dice\n1_1,1,0.5\n")
    assert read_rows(tmp_path) == [{"case": "1_1", "patient": "1", "dice": 0.5}]
