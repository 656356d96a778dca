"""A tiny phantom, and bundle verbs run on it in this process or in one of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow


@pytest.fixture(scope="session", autouse=True)
def small_work(one_thread):
    """All of these tests compute on such small patches that one thread is fastest."""


@pytest.fixture(scope="session")
def tiny_phantom(tmp_path_factory, simulate_coarsely) -> Path:
    """Folder of a phantom with four cases in two folds."""
    return simulate_coarsely(tmp_path_factory.mktemp("phantom") / "tiny", "gtv", cases=4, folds=2)


@pytest.fixture(scope="session")
def small_run(coarse_training) -> dict:
    return {**coarse_training, "learning_rate": 1e-3, "warmup_epochs": 1, "use_tensorboard": False}


@pytest.fixture(scope="session")
def error_text():
    """Texts of an error and everything that caused it, which the user sees in the traceback."""

    def join(error: BaseException | None) -> str:
        texts = []
        while error is not None:
            texts.append(str(error))
            error = error.__cause__
        return "\n".join(texts)

    return join


def config_files(bundle_dir: Path, names) -> list[str]:
    return [str(bundle_dir / "configs" / name) for name in names]


@pytest.fixture(scope="session")
def run_verb(bundle_dir):
    """Run a verb in this process: `run_verb(verb, [config names], **overrides)` -> the finished workflow."""

    def run(verb, names, **overrides):
        workflow = ConfigWorkflow(
            config_file=config_files(bundle_dir, names),
            meta_file=str(bundle_dir / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="infer" if verb == "inferring" else "train",
            run_id=verb,
            bundle_root=str(bundle_dir),
            **overrides,
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    return run


@pytest.fixture(scope="session")
def train(run_verb, tiny_phantom, small_run):
    """Train on the tiny phantom: `train(output_dir, **overrides)`."""

    def run(output_dir, names=("train.json",), verb="training", **overrides):
        settings = {**small_run, "dataset_dir": str(tiny_phantom), "output_dir": str(output_dir), **overrides}
        return run_verb(verb, names, **settings)

    return run


@pytest.fixture(scope="session")
def command_line(bundle_dir, tiny_phantom, small_run):
    """Arguments and environment of the same training as a command: `command_line(output_dir, **overrides)`."""

    def arguments(output_dir, names=("train.json",), launcher=(), **overrides):
        settings = {**small_run, "dataset_dir": str(tiny_phantom), "output_dir": str(output_dir), **overrides}
        command = [sys.executable, "-m", *launcher, "monai.bundle", "run", "training"]
        command += ["--config_file", str(config_files(bundle_dir, names)), "--bundle_root", str(bundle_dir)]
        for key, value in settings.items():
            command += [f"--{key}", str(value)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(bundle_dir)}
        return {"args": command, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

    return arguments


@pytest.fixture(scope="session")
def trained(train, tmp_path_factory) -> Path:
    """Folder of a finished training of two epochs, with TensorBoard."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, use_tensorboard=True)
    return folder


@pytest.fixture(scope="session")
def learned(train, tiny_phantom, tmp_path_factory) -> Path:
    """Folder of a training that learned one case by heart, validated on a copy of it under another name."""
    data = tmp_path_factory.mktemp("one_case")
    largest = json.loads((tiny_phantom / "dataset.json").read_text())["training"][-1]
    lists = {}
    for name, part in (("original", "training"), ("copy", "validation")):
        (data / name).mkdir()
        item = {"patient_id": name}
        for key in ("ct", "pet", "label"):
            item[key] = f"{name}/{key}.nii.gz"
            shutil.copy(tiny_phantom / largest[key], data / item[key])
        lists[part] = [item]
    (data / "dataset.json").write_text(json.dumps(lists))
    folder = tmp_path_factory.mktemp("learned") / "run"
    settings = {"epochs": 5, "samples_per_epoch": 10, "val_interval": 5, "learning_rate": 0.004, "ema_decay": 0.9}
    slabs = {"inside_probability": 1.0, "end_probability": 0.0, "free_probability": 0.0, "train#random_transforms": []}
    train(folder, dataset_dir=str(data), **settings, **slabs)
    return folder
