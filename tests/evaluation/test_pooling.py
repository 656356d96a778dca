"""Evaluations of disjoint patients become one, and others do not."""

import json

import numpy as np
import pytest
from igtv.evaluation.evaluate import CaseEvaluator
from igtv.evaluation.pooling import pool_evaluations

MADE_WITH = {"lesions": "most_avid", "test_time_flips": [], "device": "cpu"}


@pytest.fixture
def fold(tmp_path):
    """`fold(name, {case: patient}, made_with)`: an evaluation of masks that are right."""

    def make(name, cases, made_with=MADE_WITH, **settings):
        evaluator = CaseEvaluator(tmp_path / name, resamples=20, made_with=made_with, **settings)
        mask = np.zeros((8, 8, 8), np.uint8)
        mask[2:6, 2:6, 2:6] = 1
        for case, patient in cases.items():
            evaluator.add(case, mask, mask, (2.0, 2.0, 3.0), patient=patient)
        evaluator.finish()
        return tmp_path / name

    return make


def test_patients_of_all_folds_stand_in_one_table_that_says_how_they_were_made(fold, tmp_path):
    runs = [fold("fold0", {"a_1": "a", "a_2": "a"}), fold("fold1", {"b": "b"}, {**MADE_WITH, "device": "cuda"})]
    summary = pool_evaluations(runs, tmp_path / "pooled", resamples=20)
    assert (summary["n_cases"], summary["n_patients"]) == (3, 2)
    assert summary["settings"]["made_with"] == {"lesions": "most_avid", "test_time_flips": []}


def test_a_patient_of_two_folds_is_refused_under_whatever_case_name(fold, tmp_path):
    runs = [fold("fold0", {"a_1": "a"}), fold("fold1", {"a_2": "a"})]
    with pytest.raises(ValueError, match="a is in fold0 and in fold1"):
        pool_evaluations(runs, tmp_path / "pooled")


def test_masks_made_otherwise_are_not_pooled(fold, tmp_path):
    runs = [fold("fold0", {"a": "a"}), fold("fold1", {"b": "b"}, {**MADE_WITH, "test_time_flips": ["x"]})]
    with pytest.raises(ValueError, match=r"different `test_time_flips`.*\'fold1\': \[\'x\'\]"):
        pool_evaluations(runs, tmp_path / "pooled")


def test_a_run_that_does_not_say_how_it_was_made_is_pooled_without_a_word_on_it(fold, tmp_path):
    runs = [fold("fold0", {"a": "a"}), fold("fold1", {"b": "b"}, None)]
    assert "made_with" not in pool_evaluations(runs, tmp_path / "pooled", resamples=20)["settings"]


def test_what_one_fold_warns_of_is_said_of_all(fold, tmp_path):
    """And again where the joint evaluation is compared with."""
    warned = fold("fold0", {"a": "a"}, notes=["1 of 1 cases are among those that the model was trained on (a)"])
    pool_evaluations([warned, fold("fold1", {"b": "b"})], tmp_path / "pooled", resamples=20)
    note = "fold0: 1 of 1 cases are among those that the model was trained on (a)"
    assert json.loads((tmp_path / "pooled" / "summary.json").read_text())["notes"] == [note]
    assert note in (tmp_path / "pooled" / "report.html").read_text()
    both = fold("both", {"a": "a", "b": "b"}, compare=tmp_path / "pooled", notes=["P9 failed"])
    assert json.loads((both / "summary.json").read_text())["notes"] == ["P9 failed"], "its own"
    compared = json.loads((both / "compare.json").read_text())
    assert compared["notes"] == ["prediction: P9 failed", f"pooled: {note}"]
    assert f"pooled: {note}" in (both / "report.html").read_text()


def test_one_folder_is_not_read_letter_by_letter(fold, tmp_path):
    summary = pool_evaluations(str(fold("fold0", {"a": "a"})), tmp_path / "pooled", resamples=20)
    assert summary["n_cases"] == 1
    with pytest.raises(FileNotFoundError, match="no evaluation at .*nowhere.*: give its folder"):
        pool_evaluations([str(tmp_path / "nowhere")], tmp_path / "pooled")


def test_tables_of_older_versions_are_pooled_with_those_that_have_more_columns(fold, tmp_path):
    runs = [fold("fold0", {"a": "a"}), fold("fold1", {"b": "b"})]
    lines = (runs[0] / "metrics.csv").read_text().splitlines()
    assert lines[0].endswith(",reference_sha256")
    (runs[0] / "metrics.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    pool_evaluations(runs, tmp_path / "pooled", resamples=20)
    fold("both", {"a": "a", "b": "b"}, compare=tmp_path / "pooled")


def test_nothing_to_pool_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing to pool"):
        pool_evaluations([], tmp_path)
