"""Evaluations of disjoint patients become one, and others do not."""

import numpy as np
import pytest
from igtv.evaluation.evaluate import CaseEvaluator
from igtv.evaluation.pooling import pool_evaluations

MADE_WITH = {"lesions": "most_avid", "test_time_flips": [], "device": "cpu"}


@pytest.fixture
def fold(tmp_path):
    """`fold(name, {case: patient}, made_with)`: an evaluation of masks that are right."""

    def make(name, cases, made_with=MADE_WITH):
        evaluator = CaseEvaluator(tmp_path / name, resamples=20, made_with=made_with)
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


def test_nothing_to_pool_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing to pool"):
        pool_evaluations([], tmp_path)
