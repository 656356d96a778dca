"""Tiny cases and models for the learning loop: a phantom of seconds, a network that learned it by heart."""

import shutil
from pathlib import Path

import pytest
import torch
from igtv.data.datalist import read_datalist
from igtv.learning.frozen_set import make_frozen_set
from igtv.learning.registry import ModelRegistry
from igtv.learning.retrain import CycleSettings
from igtv.learning.work import run_verb
from igtv.networks.model_card import model_card_path, read_model_card, write_model_card
from monai.bundle import ConfigWorkflow


@pytest.fixture(scope="session", autouse=True)
def small_work(one_thread):
    """All of these tests compute on such small patches that one thread is fastest."""


@pytest.fixture(scope="session")
def tiny_training(coarse_training) -> dict:
    return {**coarse_training, "warmup_epochs": 0}


@pytest.fixture(scope="session")
def run_config(bundle_dir):
    """`run_config(verb, config, **overrides)`: a verb of the bundle in this process, as the command runs it."""

    def run(verb: str, config: str, **overrides) -> None:
        workflow = ConfigWorkflow(
            config_file=str(bundle_dir / "configs" / config),
            meta_file=str(bundle_dir / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            run_id=verb,
            bundle_root=str(bundle_dir),
            **overrides,
        )
        workflow.initialize()
        workflow.run()

    return run


@pytest.fixture(scope="session")
def phantom_dir(tmp_path_factory, simulate_coarsely) -> Path:
    """Folder of a phantom with five cases; fold 0 holds two of them."""
    return simulate_coarsely(tmp_path_factory.mktemp("phantom") / "tiny", "igtv", cases=5, folds=3)


@pytest.fixture(scope="session")
def cases(phantom_dir) -> list[dict]:
    """The five cases as the loop takes them."""
    items = read_datalist(phantom_dir / "dataset.json").training
    return [item.as_case() for item in items]


@pytest.fixture(scope="session")
def frozen(cases, tmp_path_factory):
    """Frozen set of the first two cases."""
    return make_frozen_set(tmp_path_factory.mktemp("learning") / "frozen", cases[:2])


@pytest.fixture(scope="session")
def weak_model(bundle_dir, tmp_path_factory, tiny_training) -> Path:
    """The shipped weights with a card of the tiny phantom's voxels, on which they find next to nothing."""
    shipped = bundle_dir / "models" / "model.pt"
    path = tmp_path_factory.mktemp("weak") / "model.pt"
    shutil.copyfile(shipped, path)
    card = read_model_card(shipped)
    _write_card(path, card | {"name": "weak GTV model", "spacing_mm": tiny_training["spacing_mm"]})
    return path


@pytest.fixture(scope="session")
def good_model(weak_model, cases, tmp_path_factory, tiny_training) -> Path:
    """Weights that learned the two frozen cases by heart: what no cycle may do, and the best candidate there is."""
    folder = tmp_path_factory.mktemp("good") / "run"
    data = [{key: case[key] for key in ("case", "ct", "pet", "label")} for case in cases[:2]]
    slabs = {"inside_probability": 1.0, "end_probability": 0.0, "free_probability": 0.0, "train#random_transforms": []}
    speed = {"epochs": 4, "samples_per_epoch": 12, "learning_rate": 0.004, "ema_decay": 0.9, "frozen_epochs": 0}
    settings = {**tiny_training, **slabs, **speed, "val_interval": 10, "num_pictures": 0, "use_tensorboard": False}
    settings |= {"model_path": str(weak_model), "output_dir": str(folder), "trained_on": "two phantoms"}
    run_verb(
        "finetuning",
        ("train.json", "finetune.json"),
        {**settings, "train#dataset#data": data, "validate#dataset#data": []},
    )
    return folder / "model.pt"


@pytest.fixture(scope="session")
def damaged_model(good_model, tmp_path_factory) -> Path:
    """The good weights with noise on them, as a training that diverged would leave them; whole as a file."""
    path = tmp_path_factory.mktemp("damaged") / "model.pt"
    generator = torch.Generator().manual_seed(0)
    weights = torch.load(good_model, weights_only=True)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            weights[name] = tensor + 0.5 * torch.randn(tensor.shape, generator=generator)
    torch.save(weights, path)
    _write_card(path, read_model_card(good_model) | {"name": "damaged model"})
    return path


@pytest.fixture
def registry(tmp_path, weak_model) -> ModelRegistry:
    """A registry whose first version is the weak model."""
    made = ModelRegistry(tmp_path / "models", "igtv")
    made.seed(weak_model, "test")
    return made


@pytest.fixture(scope="session")
def tiny_settings(tiny_training):
    """Settings of a cycle of seconds, in this process: `tiny_settings(**changes)`."""

    def make(**changes) -> CycleSettings:
        return CycleSettings(**{"own_process": False, "finetuning": dict(tiny_training), **changes})

    return make


def _write_card(path: Path, card: dict) -> None:
    keys = ("name", "task", "network", "spacing_mm", "hu_window", "suv_range", "num_slices", "trained_on", "licence")
    write_model_card(path, **{key: card[key] for key in keys if card.get(key) is not None})
    assert model_card_path(path).is_file()
