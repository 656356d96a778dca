"""The stock tasks of MONAI Label 0.8.5 on the bundle: inference as it is, training with paired cases."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask


class PairedTrainTask(BundleTrainTask):
    """What a label app has to add: MONAI Label's own lists know `image` and `label` only."""

    def __init__(self, *args, changes, **kwargs):
        super().__init__(*args, **kwargs)
        self.changes = changes

    def _fetch_datalist(self, request, datastore):
        return datastore

    def _update_overrides(self, overrides):
        overrides.update(self.changes)


@pytest.fixture
def cases(dataset_dir):
    """As a datastore with pairs would give them."""
    names = sorted(path.name for path in dataset_dir.iterdir() if path.is_dir())
    paths = {name: {key: str(dataset_dir / name / f"{key}.nii.gz") for key in ("ct", "pet", "label")} for name in names}
    return [{**paths[name], "case": name} for name in names]


def test_inference_task_segments_a_pair(bundle_copy, cases, tmp_path):
    """The mask lies on the CT's grid, whatever the server adds to the request (`image_path` is a string)."""
    task = BundleInferTask(str(bundle_copy), {}, load_strict=True)
    assert task.is_valid()
    assert (task.dimension, task.labels) == (3, {"igtv": 1})
    ct = cases[0]["ct"]
    request = {"device": "cpu", "image": ct, "ct": ct, "pet": cases[0]["pet"]}
    file, answer = task(request)
    assert answer["label_names"] == {"igtv": 1}
    mask, expected = nib.load(file), nib.load(ct)
    assert mask.shape == expected.shape
    assert np.allclose(mask.affine, expected.affine)
    assert set(np.unique(mask.get_fdata())) <= {0.0, 1.0}


def test_training_task_trains_on_pairs(bundle_copy, cases, tiny_training, tmp_path):
    """Through the overrides of the stock task, MLflow among them; nobody asks for `cases`, so no phantom is made."""
    shutil.rmtree(bundle_copy / "output", ignore_errors=True)  # of other tests that use this copy
    own = ("bundle_root", "device", "epochs", "dataset_dir")
    changes = {key: value for key, value in tiny_training.items() if key not in own}
    task = PairedTrainTask(str(bundle_copy), {}, changes=changes, load_strict=True)
    assert task.is_valid()
    before = (bundle_copy / "models" / "model.pt").read_bytes()
    request = {
        "model": "igtv",
        "device": "cpu",
        "max_epochs": 1,
        "val_split": 0.34,
        "multi_gpu": False,
        "run_id": "run",
    }
    database = f"sqlite:///{tmp_path / 'runs.db'}"
    request |= {"tracking": "mlflow", "tracking_uri": database}
    assert task(request, cases) == {}
    out = tmp_path / "out"
    manifest = json.loads((out / "run_manifest.json").read_text())
    assert manifest["cases"] == {"training": ["case_0", "case_1"], "validation": ["case_2"]}
    assert manifest["results"]["epochs"] == 1
    assert json.loads((out / "model.json").read_text())["trained_on"] == "cases given by lists"  # no phantom
    assert not (bundle_copy / "output").exists()  # where the phantom would be
    assert (bundle_copy / "models" / "model.pt").read_bytes() == before
    start = torch.load(bundle_copy / "models" / "model.pt", weights_only=True)
    trained = torch.load(out / "model_last.pt", weights_only=True)
    # it went on from the shipped weights: one step of warm-up moves them a little, a fresh start lies far away
    moved = max(float((trained[name] - start[name]).abs().max()) for name in start if start[name].is_floating_point())
    assert 0 < moved < 0.01
    tracking = MlflowClient(database)
    (tracked,) = tracking.search_runs([tracking.get_experiment_by_name("igtv").experiment_id])
    assert {"train_loss", "val_dice"} <= set(tracked.data.metrics)
