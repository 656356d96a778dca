"""A run of an evaluation: what is refused before hours of inference, and what a failed case leaves of the others."""

import json

import nibabel as nib
import numpy as np
import pytest
from igtv.data.checks import BadCase
from igtv.data.prepare import prepare_cases
from igtv.evaluation.session import run_evaluation
from igtv.evaluation.tables import read_rows
from igtv.inference.case_writer import CasesFailed
from igtv.inference.manifest import images_sha256
from igtv.training.starting_weights import with_earlier_images

LABEL = np.zeros((12, 12, 12), np.uint8)
LABEL[4:8, 4:8, 4:8] = 1


@pytest.fixture
def cases(tmp_path):
    """Two cases whose PET is 5 inside the tumour and 1 outside."""
    made = []
    for name in ("P1", "P2"):
        (tmp_path / name).mkdir()
        case = {"case": name}
        for key, voxels in (("label", LABEL), ("ct", LABEL * 100.0 - 100), ("pet", 1.0 + 4.0 * LABEL)):
            case[key] = str(tmp_path / name / f"{key}.nii.gz")
            nib.save(nib.Nifti1Image(voxels.astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0])), case[key])
        made.append(case)
    return made


class Evaluator:
    """Writes the label as prediction, but for the cases that fail."""

    def __init__(self, cases, folder, failing=()):
        self.cases, self.folder, self.failing, self.ran = cases, folder, failing, False

    def run(self):
        self.ran = True
        for case in self.cases:
            if case["case"] not in self.failing:
                (self.folder / case["case"]).mkdir(parents=True, exist_ok=True)
                nib.save(nib.load(case["label"]), self.folder / case["case"] / "pred.nii.gz")
        if self.failing:
            raise CasesFailed("1 of 2 case(s) failed: P2: no PET", dict.fromkeys(self.failing, "no PET"))


def evaluate(
    cases, tmp_path, failing=(), part="testing", training=(), baselines=False, name="out", left_out=(), **settings
):
    settings = {"model_path": tmp_path / "model.pt"} | settings
    evaluator = Evaluator(cases, tmp_path / "predictions", failing)
    parts = {"training": list(training), "validation": [], "testing": cases, "left_out": list(left_out)}
    try:
        run_evaluation(evaluator, parts, part, evaluator.folder, tmp_path / name, baselines, **settings)
    finally:
        evaluate.ran = evaluator.ran
    return tmp_path / name


def test_the_others_are_measured_when_a_case_fails(cases, tmp_path):
    with pytest.raises(CasesFailed, match="P2: no PET"):
        evaluate(cases, tmp_path, failing=["P2"])
    (row,) = read_rows(tmp_path / "out")
    assert (row["case"], row["dice"]) == ("P1", 1.0)
    assert "Not among these cases: 1 of 2" in (tmp_path / "out" / "report.html").read_text()
    assert notes(tmp_path / "out") == ["Not among these cases: 1 of 2 case(s) failed: P2: no PET"]


def notes(folder):
    return json.loads((folder / "summary.json").read_text())["notes"]


def test_cases_left_out_beforehand_are_named_without_their_paths(cases, tmp_path):
    """Those of the part that is measured; a test set is not smaller for a bad training case."""
    bad = [BadCase("P8", "pet /data/Jane Doe/pet.nii.gz is not in SUV", "testing"), BadCase("P9", "empty", "training")]
    folder = evaluate(cases, tmp_path, left_out=bad, baselines=True)
    for run in (folder, folder / "threshold_baselines" / "fraction_of_max"):
        (note,) = notes(run)
        assert note.startswith("Not among these cases: 1 of 3 that cannot be used") and note.endswith(": P8")
        assert note in (run / "report.html").read_text()
    assert notes(evaluate(cases, tmp_path, name="all")) == []


def test_cases_without_label_are_left_out_of_a_testing_list_and_named(cases, tmp_path):
    """As an import lists them, beside labelled ones that somebody put there."""
    entries = [{key: case[key] for key in ("ct", "pet", "label")} for case in cases]
    del entries[1]["label"]
    (tmp_path / "dataset.json").write_text(json.dumps({"testing": entries}))
    parts = prepare_cases(tmp_path, None, fold=0, checked_parts=["testing"], skip_bad_cases=True)
    folder = evaluate(parts["testing"], tmp_path, left_out=parts["left_out"])
    assert [row["case"] for row in read_rows(folder)] == ["P1"]
    (note,) = notes(folder)
    assert note.startswith("Not among these cases: 1 of 2 that cannot be used") and note.endswith(": P2")
    assert note in (folder / "report.html").read_text()


def test_a_failed_case_costs_the_comparison_and_not_the_evaluation(cases, tmp_path):
    first = evaluate(cases, tmp_path, name="first")
    evaluate(cases, tmp_path, compare=str(first))
    with pytest.raises(CasesFailed, match="P2: no PET"):
        evaluate(cases, tmp_path, failing=["P2"], compare=str(first))
    (row,) = read_rows(tmp_path / "out")
    assert (row["case"], row["dice"]) == ("P1", 1.0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "There is no comparison with first" in page and "Compared with" not in page
    assert "There is no comparison with first" in notes(tmp_path / "out")[-1]
    assert not (tmp_path / "out" / "compare.json").exists(), "that of the run before"


def test_what_the_model_has_learned_is_not_said_of_thresholds(cases, tmp_path, model):
    learned = model(images_sha256={"P1": images_sha256(cases[0])})
    folder = evaluate(cases, tmp_path, baselines=True, model_path=learned, note="Data: made up.")
    threshold = folder / "threshold_baselines" / "fraction_of_max"
    page = (threshold / "report.html").read_text()
    assert "Data: made up." in page and "trained on" not in page and notes(threshold) == []
    assert "trained on" in notes(folder)[0] and "Data: made up." not in notes(folder)[0]


def test_no_thresholds_of_an_earlier_run_are_left(cases, tmp_path):
    """But for what others put there, and for those that are compared with."""
    training = [{**case, "case": f"T{case['case']}"} for case in cases]
    folder = evaluate(cases, tmp_path, baselines=True, training=training) / "threshold_baselines"
    assert {path.name for path in folder.iterdir()} == {"fixed_suv", "fraction_of_max"}
    evaluate(cases, tmp_path, baselines=True)
    assert {path.name for path in folder.iterdir()} == {"fraction_of_max"}
    evaluate(cases, tmp_path, compare=str(folder / "fraction_of_max"))
    assert (folder / "fraction_of_max" / "metrics.csv").is_file()
    (folder / "fraction_of_max" / "mine.txt").write_text("mine")
    evaluate(cases, tmp_path)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["mine.txt"]
    (folder / "fraction_of_max" / "mine.txt").unlink()
    (folder / "fraction_of_max").rmdir()
    evaluate(cases, tmp_path)
    assert not folder.exists()


def test_a_comparison_is_looked_at_before_anything_is_segmented(cases, tmp_path):
    with pytest.raises(FileNotFoundError):
        evaluate(cases, tmp_path, compare=str(tmp_path / "none"))
    assert not evaluate.ran
    first = evaluate(cases[:1], tmp_path, name="first")
    with pytest.raises(ValueError, match="first holds other cases .*: P2"):
        evaluate(cases, tmp_path, compare=str(first))
    assert not evaluate.ran


@pytest.fixture
def model(tmp_path):
    """Weights of a training that left a manifest with what it is given."""

    def make(**manifest):
        path = tmp_path / "run" / "model.pt"
        path.parent.mkdir(exist_ok=True)
        (path.parent / "run_manifest.json").write_text(json.dumps(manifest))
        return path

    return make


def test_cases_that_the_model_learned_from_are_said_in_the_report(cases, tmp_path, caplog, model):
    """They are known by their images: under another name too, and others that share a name are not meant."""
    nib.save(nib.Nifti1Image(LABEL * 90.0, np.eye(4)), cases[1]["ct"])
    names = {"training": ["P1", "P7"], "validation": ["P2"]}
    hashes = {"P1": "of another data set", "P7": images_sha256(cases[1])}
    learned = model(cases=names, images_sha256=hashes)
    page = (evaluate(cases, tmp_path, name="leak", model_path=learned) / "report.html").read_text()
    assert "1 of 2 cases are among those that the model was trained on (P2)" in page
    assert "num_folds, cross_validation and seed" in caplog.text
    for name, settings in (("none", {}), ("own", {"model_path": learned})):
        folder = evaluate(cases[:1], tmp_path, name=name, **settings)
        assert "trained on (" not in (folder / "report.html").read_text()


def test_cases_of_the_pre_training_are_known_after_a_fine_tuning(cases, tmp_path, model):
    """Pre-trained on P1, fine-tuned on P4: P1 is nothing new to the model, P2 is."""
    nib.save(nib.Nifti1Image(LABEL * 90.0, np.eye(4)), cases[1]["ct"])
    images = with_earlier_images({"P4": "of its images"}, {"P1": images_sha256(cases[0])})
    learned = model(cases={"training": ["P4"]}, images_sha256=images)
    page = (evaluate(cases, tmp_path, model_path=learned) / "report.html").read_text()
    assert "1 of 2 cases are among those that the model was trained on (P1)" in page


def test_of_an_older_training_names_alone_are_known(cases, tmp_path, model):
    learned = model(cases={"training": ["P2", "P7"], "validation": ["P1"]})
    page = (evaluate(cases, tmp_path, model_path=learned) / "report.html").read_text()
    assert "1 of 2 cases have names of cases that the model was trained on (P2)" in page


def test_an_unknown_part_is_named(cases, tmp_path):
    with pytest.raises(ValueError, match="evaluation_part is 'test': choose one of training, validation, testing"):
        evaluate(cases, tmp_path, part="test")


def test_a_test_set_alone_has_the_threshold_that_needs_no_training(cases, tmp_path):
    folder = evaluate(cases, tmp_path, baselines=True) / "threshold_baselines"
    assert [path.name for path in folder.iterdir()] == ["fraction_of_max"]
    assert {row["dice"] for row in read_rows(folder / "fraction_of_max")} == {1.0}  # above 41 % of 5, below 1


def test_masks_made_otherwise_are_said_beside_the_comparison(cases, tmp_path, caplog):
    first = evaluate(cases, tmp_path, name="first", made_with={"lesions": "largest", "test_time_flips": []})
    made_with = {"lesions": "most_avid", "test_time_flips": []}
    second = evaluate(cases, tmp_path, name="second", made_with=made_with, compare=str(first))
    comparison = json.loads((second / "compare.json").read_text())
    assert comparison["made_otherwise"] == ["lesions most_avid, there largest"]
    assert "lesions most_avid, there largest" in caplog.text
    assert json.loads((second / "summary.json").read_text())["settings"]["made_with"] == made_with
    same = evaluate(cases, tmp_path, name="same", made_with=made_with, compare=str(second))
    assert json.loads((same / "compare.json").read_text())["made_otherwise"] == []
