"""The random list of train.json as a whole."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

TRAIN_CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "train.json"


def build(**probabilities):
    config = json.loads(TRAIN_CONFIG.read_text())
    transforms = config["train"]["random_transforms"]
    settings = {key: config[key] for key in ("zoom_range", "uptake_factor_range", "suv_scale_range")}
    settings |= {"patch_size": [32, 32], "spacing_mm": [2.0, 2.0, 3.0]}
    settings |= {key: 0.8 for key in config if key.endswith("_probability")} | probabilities
    parser = ConfigParser({**settings, "augmentation": {"_target_": "Compose", "transforms": transforms}})
    return parser.get_parsed_content("augmentation")


@pytest.fixture(scope="module")
def augmentation():
    return build()


def slab():
    image = torch.full((2, 40, 40, 6), -1.0)
    image[:, 12:28, 10:30, 1:5] = 0.5
    return {"image": image, "label": (image[:1] > 0).float(), "case": "P1", "kind": "end"}


def draw(augmentation, seed):
    return augmentation.set_random_state(seed=seed)(slab())


def test_seed_decides_everything(augmentation):
    first = [draw(augmentation, seed) for seed in range(10)]
    again = [draw(augmentation, seed) for seed in range(10)]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["label"], other["label"])
    assert len({one["image"].sum().item() for one in first}) == 10


def test_samples_stay_sound(augmentation):
    for seed in range(40):
        result = draw(augmentation, seed)
        image, label = result["image"], result["label"]
        assert image.shape == (2, 32, 32, 6) and label.shape == (1, 32, 32, 6)
        assert type(image) is torch.Tensor and image.dtype == label.dtype == torch.float32
        assert image.isfinite().all() and image.min() >= -1 and image.max() <= 1
        assert set(label.unique().tolist()) == {0.0, 1.0}


def test_tumour_is_where_its_uptake_is():
    """But for the shift of the PET and a weak slice; the change of uptake, which may take all of it, is left out."""
    augmentation = build(uptake_probability=0.0)
    for seed in range(40):
        result = draw(augmentation, seed)
        pet, tumour = result["image"][1], result["label"][0] > 0
        assert pet[tumour].mean() - pet[~tumour].mean() > 0.5
