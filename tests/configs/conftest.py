"""A copy of the bundle that tests may write into, three tiny cases, and settings that make a run take seconds."""

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest

SHAPE = (64, 60, 5)
SPACING_MM = (2.0, 2.0, 3.0)
TUMOUR = (slice(28, 36), slice(20, 30), slice(1, 4))


@pytest.fixture(scope="session", autouse=True)
def small_work(one_thread):
    """All of these tests compute on such small patches that one thread is fastest."""


@pytest.fixture(scope="session")
def bundle_copy(tmp_path_factory, bundle_dir):
    """The bundle with its own configs and models."""
    folder = tmp_path_factory.mktemp("copy") / "bundle"
    folder.mkdir()
    shutil.copytree(bundle_dir / "configs", folder / "configs")
    shutil.copytree(bundle_dir / "igtv", folder / "igtv", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(bundle_dir / "LICENSE", folder)
    shutil.copytree(bundle_dir / "models", folder / "models")
    return folder


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    """Three cases with folds: the first validates in fold 0. The affine is that of a scanner (to the left, back)."""
    folder = tmp_path_factory.mktemp("data")
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    items = []
    for number in range(3):
        random = np.random.default_rng(number)
        label = np.zeros(SHAPE, np.uint8)
        label[TUMOUR] = 1
        ct = np.where(label, 30, -700).astype(np.int16) + random.integers(-20, 20, SHAPE).astype(np.int16)
        pet = np.where(label, 8, 1).astype(np.float32) + random.uniform(0, 0.2, SHAPE).astype(np.float32)
        case = folder / f"case_{number}"
        case.mkdir()
        for name, voxels in {"ct": ct, "pet": pet, "label": label}.items():
            nib.save(nib.Nifti1Image(voxels, affine), case / f"{name}.nii.gz")
        paths = {name: f"{case.name}/{name}.nii.gz" for name in ("ct", "pet", "label")}
        items.append({**paths, "patient_id": case.name, "fold": min(number, 1)})
    (folder / "dataset.json").write_text(json.dumps({"training": items}))
    return folder


@pytest.fixture
def tiny(bundle_copy, dataset_dir, tmp_path):
    """Overrides: where things are, and one short epoch on the CPU."""
    return {
        "bundle_root": str(bundle_copy),
        "dataset_dir": str(dataset_dir),
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
        "num_workers": 0,
        "scan_backend": "torch",
    }


@pytest.fixture
def tiny_training(tiny):
    return {
        **tiny,
        "patch_size": [64, 64],
        "num_slices": 3,
        "epochs": 1,
        "samples_per_epoch": 1,
        "batch_size": 1,
        "val_interval": 1,
        "warmup_epochs": 0,
        "use_tensorboard": False,
    }


@pytest.fixture
def config_files(bundle_copy):
    """Paths of config files of the copy, by name without suffix."""

    def paths(*names):
        return [os.fspath(bundle_copy / "configs" / f"{name}.json") for name in names]

    return paths
