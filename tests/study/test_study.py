"""The whole study on phantoms of seconds: every stage, its files, and what a second run does."""

import csv
import json
from pathlib import Path

import nibabel as nib
import pytest
from igtv.files import write_json
from igtv.locks import locked
from igtv.study import units
from igtv.study.data import breathing_data, check_patients
from igtv.study.plan import plan_from
from igtv.study.registration import NotRegistered
from igtv.study.study import STAGES, run_study
from igtv.study.work import KINDS
from matplotlib.image import imread

MACHINE = {"device": "cpu", "own_process": False, "num_parallel": 1}


@pytest.fixture(scope="module")
def study_choices(choices):
    """Two networks of ours; the other one is in `test_another_network`."""
    values = choices()
    values["architectures"] = {name: values["architectures"][name] for name in ("rectified_B", "rectified_none")}
    return values


@pytest.fixture(scope="module")
def finished(tmp_path_factory, study_choices):
    """Folder and findings of a whole study."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.raises(NotRegistered, match="calibration first"):
        run_study(folder, ["data", "registration"], **MACHINE, **study_choices)
    with pytest.raises(NotRegistered, match="nothing is registered"):
        run_study(folder, ["arms"], **MACHINE, **study_choices)
    with pytest.raises(NotRegistered, match="not what was expected .*scratch_dice"):
        run_study(folder, ["calibration", "registration"], **MACHINE, **study_choices)
    some = {"run_sizes": [2], "run_architectures": ["rectified_B"], "accept_calibration": True}
    part = run_study(folder, STAGES, **some, **MACHINE, **study_choices)["data"]["A"]
    assert {entry["size"] for entry in part["arms"]} == {2}  # not the zero-shot arms alone, which have no size
    starts = ("scratch", "pretrained", "moved")  # of both main networks, which choose together
    assert set(part["tuning"]) == {f"A/{start}_rectified_{sim}" for start in starts for sim in ("B", "none")}
    decisions = part["decisions"]  # 2 is the main size; H2 needs the other network
    assert [decision["verdict"] == "incomplete" for decision in decisions] == [False, True, False, False]
    assert [bool(decision["missing"]) for decision in decisions] == [False, True, False, False]
    return folder, run_study(folder, STAGES, accept_calibration=True, **MACHINE, **study_choices)


def test_every_cell_of_the_grid_is_tested(finished, study_choices):
    folder, findings = finished
    table = findings["data"]["A"]
    assert table["network_tests"] == {"done": 3 * 2 * 2 + 1, "of": 3 * 2 * 2 + 1} and not findings["failures"]
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    arms = {(row["arm"], row["size"]) for row in rows}
    assert ("zero_shot_rectified_B", "0") in arms and ("margin_rectified_none", "1") in arms
    assert {("moved_zero_shot_rectified_B", "0"), ("moved_rectified_none", "2")} <= arms
    assert {("scratch_rectified_B", "1"), ("pretrained_rectified_none", "2"), ("threshold", "2")} <= arms
    assert len(rows) == (12 + 1 + 2 * 2 + 4 + 4 + 2) * study_choices["testing_cases"]
    assert {entry["metric"] for entry in table["comparisons"]} >= {"dice", "dice_ends", "coverage"}
    assert [decision["name"] for decision in table["decisions"]] == ["H1", "H2", "H3", "H4"]
    assert json.loads((folder / "study.json").read_text())["cost"]["full_study"]["A"]["trainings"] > 60


def test_nobody_is_both_learned_from_and_tested(finished):
    folder, _ = finished
    cases = json.loads((folder / "A/test/threshold/n01_seed0/work.json").read_text())["work"]["cases"]
    tested = {case["patient"] for case in cases}
    paths = list(folder.glob("A/arms/*/*/work.json"))
    assert len(tested) == 2 and len(paths) == 3 * 2 * 2 + 1  # starts, networks, sizes, and the long control
    for path in paths:
        work = json.loads(path.read_text())["work"]
        for part in ("training", "validation"):
            learned = {case["patient"] for case in work[part]}
            assert learned and not learned & tested, path


def test_pictures_and_page(finished):
    folder, findings = finished
    pictures = [folder / "A/curves.png", folder / "A/calibration.png"]
    pictures += [folder / path for path in findings["data"]["A"]["pictures"]]
    assert len(pictures) >= 3
    for path in pictures:
        assert imread(path).std() > 0.01, path
    page = (folder / "report.html").read_text()
    assert "H2" in page and "data:image/" in page and "<script" not in page
    assert "Registered" in page and "Not as registered" not in page
    assert str(folder) not in page  # no path of the machine goes out with it


def test_a_second_run_reads_only_and_a_changed_one_is_refused(finished, study_choices, monkeypatch):
    folder, findings = finished

    def never(*_):
        raise AssertionError("nothing is left to be done")

    monkeypatch.setattr(units, "do_unit", never)
    again = run_study(folder, STAGES, accept_calibration=True, **MACHINE, **study_choices)
    assert json.dumps(again["data"]["A"]["arms"]) == json.dumps(findings["data"]["A"]["arms"])  # with NaN among them
    changed = study_choices | {"scratch_steps": 4}
    with pytest.raises(NotRegistered, match="plan.scratch_steps: 2 -> 4"):
        run_study(folder, ["arms"], **MACHINE, **changed)
    for stages, message in ((["all"], "stages=.'all'.: give a list"), ("data", "stages='data': give a list, such as")):
        with pytest.raises(ValueError, match=message):
            run_study(folder, stages, **MACHINE, **study_choices)
    with pytest.raises(ValueError, match=r"run_sizes is 2: a list is needed, such as \[1\]"):
        run_study(folder, ["arms"], run_sizes=2, **MACHINE, **study_choices)
    with pytest.raises(ValueError, match="run_architectures is 'rectified_B': a list is needed"):
        run_study(folder, ["arms"], run_architectures="rectified_B", **MACHINE, **study_choices)
    with pytest.raises(ValueError, match=r"run_sizes=\[3\]: planned are \[1, 2\]"):
        run_study(folder, ["arms"], run_sizes=[3], **MACHINE, **study_choices)
    with pytest.raises(ValueError, match="run_architectures=.'cipa'.: planned are .'rectified_B'"):
        run_study(folder, ["arms"], run_architectures=["cipa"], **MACHINE, **study_choices)


def test_what_is_not_registered_is_said_in_every_table(finished, study_choices):
    folder, _ = finished
    more = study_choices | {"hypotheses": study_choices["hypotheses"][:1]}
    findings = run_study(folder, ["test", "report"], allow_unregistered=True, **MACHINE, **more)
    assert any("hypotheses" in line for line in findings["registration"]["differs"])
    page = (folder / "report.html").read_text()
    assert "Not as registered" in page and "All arms (not as registered)" in page


def test_results_of_other_sources_are_said_in_every_table(finished, study_choices):
    folder, _ = finished
    path = folder / "A/test/threshold/n01_seed0/result.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"sources": "other"}))
    differs = run_study(folder, ["report"], **MACHINE, **study_choices)["registration"]["differs"]
    path.write_text(kept)
    assert any("1 unit(s) were done by other sources" in line and "n01_seed0" in line for line in differs)


def test_a_report_does_not_lose_the_patients(tmp_path, study_choices):
    """Their results lie in the folder; written without them, report and tables would say that there are none."""
    write_json(tmp_path / "registration.json", {"data_registered": {"A": "now", "B/fold0": "now"}})
    with pytest.raises(ValueError, match="has Data B.*give patients_dir"):
        run_study(tmp_path, ["report"], **MACHINE, **study_choices)


def test_patients_are_looked_at_before_anything_is_made(tmp_path, study_choices, simulate_coarsely):
    source = simulate_coarsely(tmp_path / "patients", "gtv", cases=4, folds=2)
    study = tmp_path / "study"
    with pytest.raises(FileNotFoundError, match="none/dataset.json does not exist"):
        run_study(study, STAGES, patients_dir=tmp_path / "none", **MACHINE, **study_choices)
    with pytest.raises(ValueError, match="patients_datalist=.* without patients_dir"):
        run_study(study, STAGES, patients_datalist=source / "dataset.json", **MACHINE, **study_choices)
    with pytest.raises(ValueError, match="2 patients to learn from and 2 to test on; 1 validate .* up to 1 can be"):
        run_study(study, STAGES, patients_dir=source, **MACHINE, **study_choices)
    assert not study.exists()


def test_patients_of_one_list_are_dealt_before_they_are_counted(tmp_path, choices):
    """Five folds, of which the first is tested on: of five patients one."""
    items = [
        {"ct": f"{name}/ct.nii.gz", "pet": f"{name}/pet.nii.gz", "label": f"{name}/gtv.nii.gz"} for name in "abcde"
    ]
    write_json(tmp_path / "dataset.json", {"training": items})
    check_patients(plan_from(choices(breathing_sizes=[1, 2], breathing_validation_patients=2)), tmp_path)
    with pytest.raises(ValueError, match="4 patients to learn from and 1 to test on"):
        check_patients(plan_from(choices(breathing_sizes=[1, 2], breathing_validation_patients=3)), tmp_path)


def test_one_process_at_a_time_works_on_a_study(tmp_path, study_choices):
    with locked(tmp_path / ".lock"), pytest.raises(RuntimeError, match="under way"):
        run_study(tmp_path, STAGES, **MACHINE, **study_choices)


def test_another_network(tmp_path, choices):
    """SegResNet is trained, fine-tuned and tested by the same units."""
    values = choices(sizes=[1], breathing_sizes=[1], main_size=1, testing_cases=1)
    stages = ["data", "pretraining", "tuning", "arms", "test"]
    kept = ("rectified_none", "segresnet")
    values["architectures"] = {name: values["architectures"][name] for name in kept}
    values |= {
        "main_architectures": ["rectified_none"],
        "breathing_architectures": ["rectified_none"],
        "hypotheses": [],
    }
    run_study(tmp_path, stages, allow_unregistered=True, **MACHINE, **values)
    for init in ("scratch", "pretrained"):
        card = json.loads((tmp_path / f"A/arms/{init}_segresnet/n01_seed0/model.json").read_text())
        assert card["network"]["variant"] == "segresnet"
        assert (tmp_path / f"A/test/{init}_segresnet/n01_seed0/result.json").is_file()


def test_breathing_patients_are_split_by_patient(tmp_path, choices, simulate_coarsely):
    source = simulate_coarsely(tmp_path / "patients", "gtv", cases=4, folds=2)
    values = choices(sizes=[1], breathing_sizes=[1], main_size=1)
    values["breathing"] = {"seed": 5, "cycles_per_case": 2, "num_workers": 0}
    (data,) = breathing_data(plan_from(values), tmp_path / "breathing", source)
    assert len(data.testing) == 4 and len({case["patient"] for case in data.testing}) == 2
    assert len(data.pool) == len(data.validation) == len(data.pretraining) == 1
    assert data.pool[0]["patient"] == data.pretraining[0]["patient"] != data.validation[0]["patient"]
    assert data.pretraining[0]["label"].startswith(str(source))
    for case in data.testing:
        facts = json.loads((Path(case["ct"]).parent / "case.json").read_text())
        assert case["cut_by"] == facts["cut_by"] and case["gtv"].endswith("/gtv.nii.gz")
    cut = {**data.testing[0], "cut_by": ["inferior"]}
    result = KINDS["test_gtv"](tmp_path, {"cases": [cut]}, "cpu")
    with open(tmp_path / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    gtv, label = (nib.load(cut[key]).get_fdata() > 0 for key in ("gtv", "label"))
    assert float(row["dice"]) == pytest.approx(2 * gtv.sum() / (gtv.sum() + label.sum()), abs=1e-4)  # it is within
    assert result["cases"] == 1 and row["dice_ends"] == row["dice_inferior_end"] == "" != row["dice_superior_end"]
    parts = breathing_data(plan_from(values | {"breathing_folds": 2}), tmp_path / "breathing", source)
    tested = [{case["patient"] for case in part.testing} for part in parts]
    assert len(tested[0]) == len(tested[1]) == 2 and len(tested[0] | tested[1]) == 4
    for part, patients in zip(parts, tested, strict=True):
        assert len(part.testing) == 4 and len(part.pool) == 1
        learned = {case["patient"] for case in (*part.pool, *part.validation, *part.pretraining)}
        assert not patients & learned
    values["breathing_validation_patients"] = 2
    with pytest.raises(ValueError, match="2 patients to learn from and 2 to test on"):
        breathing_data(plan_from(values), tmp_path / "breathing", source)
