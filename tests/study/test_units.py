"""Units: what is done is done once, a killed training goes on, a failure keeps no other waiting."""

import hashlib
import json
import shutil
import sys

import pytest
from igtv.data.datalist import read_datalist
from igtv.files import write_json
from igtv.learning.bound_process import start_bound
from igtv.study import units
from igtv.study.branch import Branch
from igtv.study.data import StudyData
from igtv.study.plan import plan_from
from igtv.study.units import Unit, UnitRunner
from igtv.training.checkpoint_keeper import CheckpointKeeper


@pytest.fixture(scope="module")
def cases(tmp_path_factory, simulate_coarsely):
    folder = simulate_coarsely(tmp_path_factory.mktemp("phantom") / "tiny", "igtv", cases=3, folds=1)
    items = read_datalist(folder / "dataset.json").training
    return [item.as_case() for item in items]


def threshold_unit(cases, name="A/test/threshold", **changes):
    work = {"training": cases[:1], "cases": cases[1:], "suv": [3.0, 4.0], "fractions": [0.4], **changes}
    return Unit(name, "test_threshold", work)


def test_a_unit_is_done_once_and_another_one_is_not_taken_for_it(cases, tmp_path):
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    (first,) = runner.run([threshold_unit(cases)], "test")
    table = tmp_path / "A/test/threshold/metrics.csv"
    assert first["cases"] == 2 and first["chosen"]["kind"] in ("suv", "fraction")
    assert table.read_text().startswith("case,patient,")
    table.unlink()
    (second,) = runner.run([threshold_unit(cases)], "test")
    assert second == first and not table.exists()  # read, not measured again
    with pytest.raises(ValueError, match="done with other settings"):
        runner.run([threshold_unit(cases, suv=[5.0])], "test")


def test_a_study_may_be_moved():
    here, there = (Unit("a", "predict", {"model_path": f"/{home}/study/a/model.pt"}) for home in ("x", "y"))
    assert here.fingerprint(["/x/study"]) == there.fingerprint(["/y/study"])
    assert here.fingerprint([]) != there.fingerprint([])


def test_a_result_counts_only_with_what_made_its_model(cases, tmp_path):
    """The model lies at the same path whatever it was trained with: a test of the earlier one is not taken."""
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    training, other = threshold_unit(cases, "A/model"), threshold_unit(cases, "A/model", suv=[5.0])
    fine = threshold_unit(cases, "A/fine")
    masks = Unit("A/masks", "test_threshold", fine.work, needs=(training,))
    test, stale = (
        Unit("A/test", "test_threshold", fine.work, needs=(Unit("A/masks", "test_threshold", fine.work, (made,)),))
        for made in (training, other)
    )
    for unit in (training, masks, test):
        runner.run([unit], "once")
    assert runner.result(test) is not None
    with pytest.raises(ValueError, match="A/test was done with other settings"):
        runner.result(stale)


def test_a_result_counts_only_with_the_weights_that_it_was_made_from(cases, tmp_path):
    """Masks are made anew, with other bytes: what was measured of the earlier ones does not stand for them."""
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    made = threshold_unit(cases, "A/masks")
    test = Unit("A/test", "test_threshold", made.work, needs=(made,))
    folder = tmp_path / "A/masks"

    def make(content):
        folder.mkdir(parents=True)
        (folder / "masks.npz").write_bytes(content)
        runner.run([made], "masks")

    make(b"first")
    (result,) = runner.run([test], "test")
    assert result["made_from"] == {"A/masks": {"masks.npz": hashlib.sha256(b"first").hexdigest()}}
    shutil.rmtree(folder)
    assert runner.result(test) == result  # a study may be read without the masks
    make(b"other")
    with pytest.raises(ValueError, match="A/test was made from another A/masks than the one that is there now"):
        runner.result(test)


def test_a_killed_unit_begins_anew_from_other_weights(cases, tmp_path):
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    made = threshold_unit(cases, "A/model")
    unit = Unit("A/fine", "test_threshold", made.work, needs=(made,))
    runner.run([made], "model")
    write_json(tmp_path / "A/fine/work.json", {"made_from": {"A/model": {"model.pt": "other"}}})
    (tmp_path / "A/fine/checkpoint.pt").write_bytes(b"of other weights")
    runner.run([unit], "fine")
    assert not (tmp_path / "A/fine/checkpoint.pt").exists() and runner.result(unit)["cases"] == 2


def test_a_failure_is_named_and_the_others_go_on(cases, tmp_path):
    missing = [{**cases[0], "label": str(tmp_path / "none.nii.gz")}]
    bad = threshold_unit(cases, "A/bad", training=missing)
    after = Unit("A/after", "test_masks", {}, needs=(bad,))
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    results = runner.run([bad, threshold_unit(cases)], "test") + runner.run([after], "next")
    assert [result is None for result in results] == [True, False, True]
    assert "none.nii.gz" in runner.failures["A/bad"] and "needs A/bad" in runner.failures["A/after"]


def test_a_training_that_diverges_is_a_failure_too(cases, tmp_path, monkeypatch):
    def diverge(folder):
        raise FloatingPointError("the gradient is nan")

    monkeypatch.setattr(units, "do_unit", diverge)
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    assert runner.run([threshold_unit(cases)], "test") == [None]
    assert "the gradient is nan" in runner.failures["A/test/threshold"]


def test_processes_of_their_own(cases, tmp_path, monkeypatch):
    """One does its work, one is killed by the system."""
    killed = threshold_unit(cases, "A/killed")

    def start(command, log, environment):
        if command[-1].endswith("killed"):
            command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        return start_bound(command, log, environment)

    monkeypatch.setattr(units, "start_bound", start)
    runner = UnitRunner(tmp_path, [], "cpu", num_parallel=2)
    results = runner.run([killed, threshold_unit(cases)], "test")
    assert results[0] is None and results[1]["cases"] == 2
    assert runner.failures == {"A/killed": "ended by signal 9"}


def test_a_killed_training_goes_on_where_it_was(cases, choices, tmp_path, monkeypatch):
    plan = plan_from(choices())
    data = StudyData([], [], cases[:2], cases[2:], [], {"training": cases[:1], "validation": cases[2:]})
    branch = Branch("A", plan, data, tmp_path, plan.sizes, plan.recipe)
    unit = branch.calibration_scratch("rectified_none", seed=0)
    runner = UnitRunner(tmp_path, [], "cpu", own_process=False)
    save = CheckpointKeeper.save

    def killed_after_the_first(self, engine):
        save(self, engine)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointKeeper, "save", killed_after_the_first)
        assert runner.run([unit], "training") == [None]
    folder = tmp_path / unit.name
    assert (folder / "checkpoint.pt").is_file() and "killed" in runner.failures.pop(unit.name)
    (result,) = runner.run([unit], "training")
    assert result["epochs"] == 2 and result["steps"] == 2
    assert len((folder / "training_log.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "run_manifest.json").read_text())["config"]["resume"] is True
    left = {path.name for path in folder.iterdir()}
    assert {"model.pt", "model.json", "result.json"} <= left and not {"checkpoint.pt", "model_last.pt"} & left
