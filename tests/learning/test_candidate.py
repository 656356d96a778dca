"""When a version's numbers on the frozen set are known, and when it must be measured again."""

import shutil
from dataclasses import replace

import pytest
from igtv.evaluation.tables import METRICS_FILE, write_rows
from igtv.learning.candidate import conclude, frozen_metrics, keep_evaluation, known_evaluation
from igtv.learning.gate import GateRule
from igtv.networks.model_card import model_card_path

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


def test_a_patient_with_several_scans_counts_once(tmp_path, frozen):
    """Dice 0.9 and 0.5 of one patient are 0.7; with 0.1 of the other the mean is 0.4, that of the scans 0.5."""
    entries = [{"case": case, "patient": patient} for case, patient in (("a1", "a"), ("a2", "a"), ("b", "b"))]
    rows = [{"case": entry["case"], "dice": dice} for entry, dice in zip(entries, (0.9, 0.5, 0.1), strict=True)]
    write_rows(tmp_path / METRICS_FILE, rows)
    metrics = frozen_metrics(tmp_path, replace(frozen, entries=tuple(entries)), {})
    assert metrics["dice"] == pytest.approx(0.4)
    assert metrics["cases"] == {"a1": 0.9, "a2": 0.5, "b": 0.1}


def test_a_version_is_judged_patient_by_patient(tmp_path, registry, frozen, weak_model):
    """The two frozen cases as scans of one patient: 0.5 and 0.5 against 0.8 and 0.24, a mean of 0.52."""
    one = replace(frozen, entries=tuple({**entry, "patient": "one"} for entry in frozen.entries))
    names = [entry["case"] for entry in frozen.entries]
    for folder, dice in (("before", (0.5, 0.5)), ("after", (0.8, 0.24))):
        rows = [{"case": name, "dice": value} for name, value in zip(names, dice, strict=True)]
        write_rows(tmp_path / folder / METRICS_FILE, rows)
    model = tmp_path / "staging" / "model.pt"
    model.parent.mkdir()
    for source, target in ((weak_model, model), (model_card_path(weak_model), model_card_path(model))):
        shutil.copyfile(source, target)
    folders = tmp_path / "before", model, tmp_path / "after"
    version = conclude(registry, registry.current(), *folders, one, GateRule(), {"settings": {"finetuning": {}}})
    assert version.decision["cases"] == [
        {"case": ", ".join(names), "current": 0.5, "candidate": pytest.approx(0.52), "difference": pytest.approx(0.02)}
    ]
    assert version.status == "accepted" and registry.current().number == 2


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
