"""What is done with a trained model: fine-tuning, evaluation, pooling of folds, inference."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.training.checkpoint_keeper import CheckpointKeeper


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_finetuning_rests_the_encoder_first(train, trained, tmp_path, monkeypatch):
    after_epoch = []
    save = CheckpointKeeper.save

    def keep(self, engine):
        save(self, engine)
        after_epoch.append({name: value.clone() for name, value in engine.network.state_dict().items()})

    monkeypatch.setattr(CheckpointKeeper, "save", keep)
    train(
        tmp_path,
        names=("train.json", "finetune.json"),
        verb="finetuning",
        model_path=str(trained / "model.pt"),
        frozen_epochs=1,
        task="igtv",
        breathing_probability=1.0,  # the phantom's contours are GTV ones
    )
    start = torch.load(trained / "model.pt", weights_only=True)
    changed = [{name.split(".")[0] for name in start if not torch.equal(start[name], end[name])} for end in after_epoch]
    assert "encoder" not in changed[0] and {"decoder", "head", "fusion", "sim"} <= changed[0]
    assert "encoder" in changed[1]
    card, before = (json.loads((folder / "model.json").read_text()) for folder in (tmp_path, trained))
    assert card["trained_on"] == f"tiny; before that: {before['trained_on']}"
    manifest, first = (json.loads((folder / "run_manifest.json").read_text()) for folder in (tmp_path, trained))
    assert manifest["started_from"] == {"name": before["name"], "sha256": before["sha256"]}
    assert set(manifest["images_sha256"].values()) == set(first["images_sha256"].values())  # the same two cases
    assert card["task"] == "igtv" and card["spacing_mm"] == [6.0, 6.0, 5.0]


@pytest.fixture(scope="module")
def evaluate(run_verb, tiny_phantom, learned):
    def run(output_dir, **overrides):
        settings = {"dataset_dir": str(tiny_phantom), "model_path": str(learned / "model.pt")}
        settings |= {"output_dir": str(output_dir), "num_workers": 0, "device": "cpu", **overrides}
        return run_verb("evaluating", ["train.json", "evaluate.json"], **settings)

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate, tmp_path_factory):
    """Evaluations of both folds; fold 0 with the threshold baselines."""
    folder = tmp_path_factory.mktemp("evaluated")
    evaluate(folder / "fold0")
    evaluate(folder / "fold1", fold=1, threshold_baselines=False)
    return folder


def test_evaluation_writes_table_summary_and_report(evaluated, tiny_phantom):
    folder = evaluated / "fold0"
    rows = rows_of(folder / "metrics.csv")
    listing = json.loads((tiny_phantom / "dataset.json").read_text())["training"]
    expected = sorted(item["patient_id"] for item in listing if item["fold"] == 0)
    assert sorted(row["case"] for row in rows) == expected
    assert max(float(row["dice"]) for row in rows) > 0.1  # the masks are not empty
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8").lower()
    baselines = [path.parent.name for path in (folder / "threshold_baselines").rglob("metrics.csv")]
    assert len(baselines) == 2


def test_comparison_with_another_run(evaluate, evaluated, tmp_path):
    other = next((evaluated / "fold0" / "threshold_baselines").rglob("metrics.csv"))
    evaluate(tmp_path, threshold_baselines=False, compare=str(other.parent))
    theirs = {row["case"]: float(row["dice"]) for row in rows_of(other)}
    compared = json.loads((tmp_path / "summary.json").read_text())["comparison"]["cases"]
    assert {entry["case"]: entry["dice_other"] for entry in compared} == pytest.approx(theirs)
    assert {entry["case"]: entry["dice"] for entry in compared} == pytest.approx(
        {row["case"]: float(row["dice"]) for row in rows_of(evaluated / "fold0" / "metrics.csv")}
    )


def test_folds_are_pooled(run_verb, evaluated, tmp_path):
    runs = [str(evaluated / "fold0"), str(evaluated / "fold1")]
    run_verb("pooling", ["pool.json"], runs=runs, output_dir=str(tmp_path))
    pooled = {row["case"]: row["dice"] for row in rows_of(tmp_path / "metrics.csv")}
    single = {row["case"]: row["dice"] for run in runs for row in rows_of(f"{run}/metrics.csv")}
    assert len(pooled) == 4 and pooled == single
    assert (tmp_path / "report.html").is_file()


@pytest.fixture(scope="module")
def infer(run_verb, learned):
    def run(output_dir, **overrides):
        settings = {"model_path": str(learned / "model.pt"), "output_dir": str(output_dir), "device": "cpu"}
        return run_verb("inferring", ["inference.json"], **{**settings, **overrides})

    return run


def first_case(tiny_phantom):
    item = json.loads((tiny_phantom / "dataset.json").read_text())["training"][0]
    return item["patient_id"], tiny_phantom / item["ct"], tiny_phantom / item["pet"]


def test_inference_on_one_pair(infer, tiny_phantom, tmp_path):
    """A CT in another orientation than the network's: the mask lies on the CT's own grid."""
    _, ct_path, pet_path = first_case(tiny_phantom)
    folder = tmp_path / "patient 7"
    folder.mkdir()
    ct = nib.load(ct_path)
    turned = ct.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))  # the first axis mirrored
    nib.save(turned, folder / "ct.nii.gz")
    shutil.copy(pet_path, folder / "pet.nii.gz")
    outputs = ["mask", "overlay", "probability", "uncertainty"]
    pair = {"ct_path": str(folder / "ct.nii.gz"), "pet_path": str(folder / "pet.nii.gz")}
    infer(tmp_path / "out", **pair, outputs=outputs)
    result = tmp_path / "out" / "patient 7"
    names = ["manifest.json", "overlay.png", "pred.nii.gz", "probability.nii.gz", "uncertainty.nii.gz"]
    assert sorted(entry.name for entry in result.iterdir()) == names
    own = nib.load(folder / "ct.nii.gz")
    for name in names[2:]:
        image = nib.load(result / name)
        assert image.shape == own.shape and np.array_equal(image.affine, own.affine)
        assert np.array_equal(image.get_sform(), own.get_sform())
        assert image.header.get_zooms() == own.header.get_zooms()
    manifest = json.loads((result / "manifest.json").read_text())
    assert manifest["model"]["sha256"] and str(tmp_path) not in json.dumps(manifest)


def test_inference_on_a_datalist_and_on_a_folder(infer, tiny_phantom, tmp_path):
    infer(tmp_path / "list", datalist=str(tiny_phantom / "dataset.json"), outputs=["mask"])
    listing = json.loads((tiny_phantom / "dataset.json").read_text())["training"]
    cases = sorted(item["patient_id"] for item in listing)
    assert sorted(entry.name for entry in (tmp_path / "list").iterdir() if entry.is_dir()) == cases
    name, ct_path, pet_path = first_case(tiny_phantom)
    folder = tmp_path / "cases" / "A"
    folder.mkdir(parents=True)
    shutil.copy(ct_path, folder / "ct.nii.gz")
    shutil.copy(pet_path, folder / "pet.nii.gz")
    infer(tmp_path / "folder", dataset_dir=str(tmp_path / "cases"), outputs=["mask"])
    ours, theirs = (nib.load(path / "pred.nii.gz") for path in (tmp_path / "folder" / "A", tmp_path / "list" / name))
    assert np.array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))


def test_evaluation_measures_what_inference_writes(infer, evaluated, tiny_phantom, tmp_path):
    infer(tmp_path, datalist=str(tiny_phantom / "dataset.json"), outputs=["mask"])
    folders = [entry for entry in (evaluated / "fold0" / "predictions").iterdir() if entry.is_dir()]
    assert len(folders) == 2  # of the four cases
    for folder in folders:
        ours = nib.load(folder / "pred.nii.gz")
        assert np.array_equal(ours.get_fdata(), nib.load(tmp_path / folder.name / "pred.nii.gz").get_fdata())
