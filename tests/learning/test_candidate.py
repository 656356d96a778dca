"""When a version's numbers on the frozen set are known, and when it must be measured again."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from igtv.evaluation.tables import METRICS_FILE, write_rows
from igtv.learning import candidate
from igtv.learning.candidate import conclude, dice_of_ancestors, frozen_metrics, keep_evaluation, known_evaluation
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


def test_an_evaluation_that_a_full_disk_cut_off_is_none(registry, frozen, evaluation_dir, monkeypatch):
    first = registry.current()

    def full(source, target):
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) - 4])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(candidate.shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space"):
            keep_evaluation(registry, first, frozen, {}, evaluation_dir)
    assert known_evaluation(registry, first, frozen, {}) is None
    assert list((registry.folder / "evaluations").iterdir()) == []
    kept = keep_evaluation(registry, first, frozen, {}, evaluation_dir)
    assert known_evaluation(registry, first, frozen, {}) == kept
    assert registry.current().metrics["dice"] == pytest.approx(0.5)


@pytest.mark.parametrize("left", ["half a number", "half a row", "a row less", "the head", "nothing"])
def test_a_table_that_is_not_whole_is_measured_anew(registry, frozen, evaluation_dir, left):
    """As a power cut, or a version of this program that did not write in one step, may have left it."""
    kept = keep_evaluation(registry, registry.current(), frozen, {}, evaluation_dir)
    lines = (kept / METRICS_FILE).read_bytes().splitlines(keepends=True)
    whole = b"".join(lines)
    cut = {"half a number": whole[:-3], "half a row": whole[: -len(lines[-1]) + 4], "a row less": b"".join(lines[:-1])}
    (kept / METRICS_FILE).write_bytes({**cut, "the head": lines[0], "nothing": b""}[left])
    assert known_evaluation(registry, registry.current(), frozen, {}) is None
    keep_evaluation(registry, registry.current(), frozen, {}, evaluation_dir)
    assert (kept / METRICS_FILE).read_bytes() == whole
    assert known_evaluation(registry, registry.current(), frozen, {}) == kept


def test_a_report_that_is_not_whole_is_measured_anew(registry, frozen, measured):
    table = measured.report_dir / METRICS_FILE
    table.write_bytes(table.read_bytes()[:-3])
    assert known_evaluation(registry, measured, frozen, LARGEST) is None


def test_ancestors_count_where_they_were_measured_alike(registry, frozen, weak_model, measured, evaluation_dir):
    """1 <- 2 <- 5 <- 6 by their parents; 3 and 4 hang on 2 and were rolled back, or refused."""
    settings = {**LARGEST, "epochs": 9}

    def accept(parent, masks):
        metrics = frozen_metrics(evaluation_dir, frozen, masks)
        version = registry.add(weak_model, {"parent": parent, "data": []}, metrics, evaluation_dir)
        return registry.accept(version, {"reasons": []})

    registry.refuse(measured, {"reasons": []})
    two = accept(1, settings)
    rolled_back = accept(two.number, settings)
    otherwise = accept(two.number, {"lesions": "all"})
    last = accept(otherwise.number, settings)
    expected = {case["case"]: 0.5 for case in frozen.entries}
    assert [version.number for version in registry.ancestors(last)] == [otherwise.number, two.number, 1]
    assert dice_of_ancestors(registry, last, frozen, settings) == {f"v000{two.number}": expected}
    keep_evaluation(registry, registry.version(1), frozen, settings, evaluation_dir)  # a seed is measured later
    assert list(dice_of_ancestors(registry, last, frozen, settings)) == [f"v000{two.number}", "v0001"]
    assert dice_of_ancestors(registry, last, replace(frozen, sha256="0" * 64), settings) == {}
    assert rolled_back.number not in [version.number for version in registry.ancestors(last)]


@pytest.fixture
def concluded(registry, frozen, weak_model, tmp_path):
    """`concluded(*dice)`: the version that comes of a candidate with these Dice of the frozen cases."""
    names = [entry["case"] for entry in frozen.entries]
    model = tmp_path / "staging" / "model.pt"
    model.parent.mkdir()
    for source, target in ((weak_model, model), (model_card_path(weak_model), model_card_path(model))):
        shutil.copyfile(source, target)
    folders = iter(range(100))

    def run(*dice):
        folder = tmp_path / str(next(folders)) / "candidate"
        write_rows(folder / METRICS_FILE, [{"case": name, "dice": one} for name, one in zip(names, dice, strict=True)])
        current = registry.current()
        known = known_evaluation(registry, current, frozen, {}) or keep_evaluation(
            registry, current, frozen, {}, folder
        )
        manifest = {"settings": {"finetuning": {}}, "data": []}
        return conclude(registry, current, known, model, folder, frozen, GateRule(), manifest)

    return run


def test_quality_does_not_fall_step_by_step(concluded, registry):
    """Each cycle within the margin of the last, and the second below the best by more than that."""
    assert [concluded(0.8, 0.8).status, concluded(0.791, 0.791).status] == ["accepted"] * 2
    for _ in range(3):
        refused = concluded(0.782, 0.782)
        assert refused.status == "refused"
        assert "lower than 0.800 of v0002, from which the current model descends" in refused.decision["reasons"][0]
    registry.rollback(3)
    assert concluded(0.795, 0.795).status == "accepted"


def test_what_was_rolled_back_sets_no_bar(concluded, registry):
    assert concluded(0.5, 0.5).status == "accepted" and concluded(0.9, 0.9).status == "accepted"
    registry.rollback(2)
    assert concluded(0.52, 0.52).status == "accepted"
