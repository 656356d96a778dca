"""What a fine-tuned model still knows of the weights that it started from."""

import json

import pytest
import torch
from igtv.networks.model_card import read_model_card, write_model_card
from igtv.training.model_description import ModelDescription
from igtv.training.starting_weights import StartingWeights, read_starting_weights, with_earlier_images

NETWORK = {"variant": "nano", "fusion": "rectified", "sim": "A", "sim_radius": 2}
PREPARED = {"spacing_mm": [3.0, 3.0, 3.27], "hu_window": [-100.0, 160.0], "suv_range": [0.0, 15.0]}


@pytest.fixture
def weights(tmp_path):
    """A checkpoint; what lies beside it is up to the test."""
    path = tmp_path / "first" / "model.pt"
    path.parent.mkdir()
    torch.save({"weight": torch.zeros(1)}, path)
    return path


def write_card(path, **content):
    write_model_card(path, name="First model", task="gtv", network=NETWORK, **PREPARED, **content)


def test_random_weights_are_no_start():
    assert read_starting_weights(None) is None


def test_card_and_manifest_beside_the_weights_are_read(weights):
    write_card(weights, trained_on="sarcoma (CC BY 3.0)", licence="Apache-2.0")
    (weights.parent / "run_manifest.json").write_text(json.dumps({"images_sha256": {"P0": "aa"}}))
    sha256 = read_model_card(weights)["sha256"]
    expected = StartingWeights("First model", sha256, "sarcoma (CC BY 3.0)", "Apache-2.0", {"P0": "aa"})
    assert read_starting_weights(weights) == expected


def test_weights_without_a_card_say_so(weights):
    start = read_starting_weights(weights)
    assert start.name == "model.pt" and len(start.sha256) == 64 and start.images_sha256 == {}
    assert start.trained_on == "unknown data (model.pt came without a model card)" and start.licence == ""


def test_a_checkpoint_that_is_not_there_is_named(weights):
    with pytest.raises(FileNotFoundError, match="none.pt does not exist: give the checkpoint to start from"):
        read_starting_weights(weights.with_name("none.pt"))


def test_images_of_both_trainings_count_once_each():
    """P0 is another image here and there; the image of P1 was used in both, under two names."""
    own = {"P0": "aa", "P9": "bb"}
    assert with_earlier_images(own, {"P0": "cc", "P1": "bb", "P2": "dd"}) == {
        "P0": "aa",
        "P9": "bb",
        "P0 (earlier)": "cc",
        "P2": "dd",
    }
    assert own == {"P0": "aa", "P9": "bb"}


def test_attribution_and_licence_go_on_into_the_card(weights, tmp_path):
    start = StartingWeights("First model", "0" * 64, "sarcoma (CC BY 3.0)", "Apache-2.0; data: CC BY 3.0")
    common = {"task": "igtv", "network": NETWORK, **PREPARED, "num_slices": 8, "patch_size": [64, 64]}
    described = ModelDescription(trained_on="clinic", **common, start=start)
    described(weights, {"val_dice": 0.5})
    card = read_model_card(weights)
    assert card["name"] == "IGTV model trained on clinic"
    assert card["trained_on"] == "clinic; before that: sarcoma (CC BY 3.0)"
    assert card["licence"] == "Apache-2.0; data: CC BY 3.0"
    ModelDescription(trained_on="clinic", **common)(weights, {})
    assert read_model_card(weights)["trained_on"] == "clinic" and read_model_card(weights)["licence"] == ""
