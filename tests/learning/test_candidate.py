"""When a version's numbers on the frozen set are known, and when it must be measured again."""

import pytest
from igtv.evaluation.tables import METRICS_FILE, write_rows
from igtv.learning.candidate import frozen_metrics, keep_evaluation, known_evaluation

LARGEST = {"lesions": "largest"}


@pytest.fixture
def evaluation_dir(tmp_path, frozen):
    """Folder of an evaluation of the frozen set."""
    folder = tmp_path / "evaluation"
    rows = [{"case": case["case"], "dice": 0.5, "volume_prediction_ml": 1.0} for case in frozen.entries]
    write_rows(folder / METRICS_FILE, rows)
    return folder


@pytest.fixture
def measured(registry, frozen, weak_model, evaluation_dir):
    """A version that was measured on the frozen set, keeping the largest lesion, when it was made."""
    metrics = frozen_metrics(evaluation_dir, frozen, {**LARGEST, "epochs": 3})
    return registry.add(weak_model, {}, metrics, evaluation_dir)


def test_known_where_it_was_measured_in_the_same_way(registry, frozen, measured):
    assert known_evaluation(registry, measured, frozen, {**LARGEST, "epochs": 20}) == measured.report_dir
    assert known_evaluation(registry, measured, frozen, {}) is None
    assert known_evaluation(registry, measured, frozen, {**LARGEST, "test_time_flips": ["x"]}) is None


def test_what_was_measured_otherwise_is_not_alike(registry, measured, weak_model, evaluation_dir, frozen):
    again = registry.add(weak_model, {}, frozen_metrics(evaluation_dir, frozen, {**LARGEST, "epochs": 9}))
    other = registry.add(weak_model, {}, frozen_metrics(evaluation_dir, frozen, {"lesions": "all"}))
    assert registry.compare(measured.number, again.number)["same_masks"]
    comparison = registry.compare(measured.number, other.number)
    assert comparison["same_frozen_set"] and not comparison["same_masks"]


def test_a_later_evaluation_stands_beside_the_first(registry, frozen, measured, evaluation_dir):
    kept = keep_evaluation(registry, measured, frozen, {"lesions": "all"}, evaluation_dir)
    assert known_evaluation(registry, measured, frozen, {"lesions": "all"}) == kept != measured.report_dir
    assert known_evaluation(registry, measured, frozen, LARGEST) == measured.report_dir
    assert known_evaluation(registry, measured, frozen, {"lesions": "most_avid"}) is None
