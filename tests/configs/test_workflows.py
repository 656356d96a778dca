"""Every config offers what MONAI's consumers ask for, runs, and says clearly when it is used wrongly."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, run

OVERLAYS = [
    "finetune",
    "evaluate",
    "multi_gpu_train",
    "baselines/segresnet",
    "baselines/dynunet",
    "baselines/slices_2d",
]


def workflow(files, kind, **overrides):
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **overrides)
    made.initialize()
    return made


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "finetune")])
def test_training_configs_offer_every_property(config_files, tiny_training, names):
    assert workflow(config_files(*names), "train", **tiny_training).check_properties() == []


def test_inference_offers_every_property(config_files, tiny):
    assert workflow(config_files("inference"), "infer", **tiny).check_properties() == []


@pytest.mark.parametrize("names", [("train",), *(("train", overlay) for overlay in OVERLAYS if "multi" not in overlay)])
def test_every_combination_resolves(config_files, tiny_training, names):
    """All items can be built, the engines and everything in `run` but the run itself among them."""
    made = workflow(config_files(*names), "train", **tiny_training)
    for key in made.parser.config:
        if key not in ("run", "training", "finetuning", "evaluating", "initialize", "finalize"):
            made.parser.get_parsed_content(key)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_alone_says_so(config_files, overlay):
    name = overlay.rsplit("/", 1)[-1]
    with pytest.raises(RuntimeError) as caught:
        run(config_file=config_files(overlay), logging_file=False)
    assert isinstance(caught.value.__cause__, ValueError)
    assert f"{name}.json is an overlay and cannot run alone: give it after" in str(caught.value.__cause__)


def test_overlay_before_its_base_says_where_it_belongs(config_files):
    with pytest.raises(RuntimeError) as caught:
        run(config_file=config_files("finetune", "train"), logging_file=False)
    assert "'finetuning': it belongs to finetune.json, give that file too, after" in str(caught.value.__cause__)


def test_training_then_finetuning_then_evaluating_then_inferring(config_files, tiny_training, tiny, tmp_path):
    """The four verbs one after the other, each on what the one before it left."""
    out = {verb: tmp_path / verb for verb in ("training", "finetuning", "evaluating", "inferring")}

    changes = {**tiny_training, "output_dir": str(out["training"])}
    run("training", config_file=config_files("train"), logging_file=False, **changes)
    written = {path.name for path in out["training"].iterdir()}
    assert {"model.pt", "model.json", "model_last.pt", "checkpoint.pt", "run_manifest.json"} <= written
    manifest = json.loads((out["training"] / "run_manifest.json").read_text())
    assert manifest["cases"] == {"training": ["case_1", "case_2"], "validation": ["case_0"]}
    assert manifest["left_out"] == []

    model = str(out["training"] / "model.pt")
    changes = {**tiny_training, "model_path": model, "output_dir": str(out["finetuning"]), "frozen_epochs": 1}
    run("finetuning", config_file=config_files("train", "finetune"), logging_file=False, **changes)
    assert json.loads((out["finetuning"] / "model.json").read_text())["task"] == "igtv"
    before, after = (torch.load(out[verb] / "model_last.pt", weights_only=True) for verb in ("training", "finetuning"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("encoder") for name in changed)  # the encoder rests in epoch 1

    model = str(out["finetuning"] / "model.pt")
    changes = {**tiny, "model_path": model, "output_dir": str(out["evaluating"])}
    run("evaluating", config_file=config_files("train", "evaluate"), logging_file=False, **changes)
    assert (out["evaluating"] / "report.html").is_file()
    assert (out["evaluating"] / "metrics.csv").read_text().count("case_0") == 1

    paths = {f"{key}_path": f"{tiny['dataset_dir']}/case_2/{key}.nii.gz" for key in ("ct", "pet")}
    changes = {**changes, **paths, "output_dir": str(out["inferring"]), "outputs": ["mask", "overlay", "uncertainty"]}
    run("inferring", config_file=config_files("inference"), logging_file=False, **changes)
    ct, pred = nib.load(paths["ct_path"]), nib.load(out["inferring"] / "case_2" / "pred.nii.gz")
    assert pred.shape == ct.shape
    assert np.allclose(pred.affine, ct.affine)
    assert {"overlay.png", "manifest.json", "uncertainty.nii.gz"} <= {
        p.name for p in (out["inferring"] / "case_2").iterdir()
    }


def test_the_alias_follows_the_overlay(config_files, tiny):
    """`run training` with evaluate.json on top evaluates; it must never train and overwrite weights."""
    merged = workflow(config_files("train", "evaluate"), "train", **tiny).parser.config
    assert merged["training"] == merged["run"] == merged["evaluating"]
