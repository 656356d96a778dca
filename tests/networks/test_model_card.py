"""The card beside a checkpoint: written whole, checked against the file, with a way out in every error."""

import hashlib
import json

import numpy as np
import pytest
import torch
from igtv.networks.model_card import model_card_path, read_model_card, write_model_card

NETWORK = {"variant": "nano", "fusion": "rectified", "sim": "A", "sim_radius": 2, "prompt_channels": 0}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(2)}, path)
    return path


def write(checkpoint, **changes):
    entries = {"name": "Test model", "task": "gtv", "network": NETWORK, "spacing_mm": np.array([2.0, 2.0, 3.27])}
    entries.update(hu_window=(-1000, 400), suv_range=(0, 15))
    return write_model_card(checkpoint, **{**entries, **changes})


def test_card_comes_back_as_written(checkpoint):
    path = write(checkpoint, metrics={"val_dice": np.float32(0.5)}, num_slices=5)
    assert path == checkpoint.with_name("model.json") == model_card_path(checkpoint)
    card = read_model_card(checkpoint)
    assert card["network"] == NETWORK
    assert card["spacing_mm"] == [2.0, 2.0, 3.27]
    assert card["metrics"] == {"val_dice": 0.5}
    assert card["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert "not a medical device" in card["disclaimer"]
    assert [entry.name for entry in checkpoint.parent.iterdir() if entry.suffix not in (".pt", ".json")] == []


def test_replaced_checkpoint_is_an_error(checkpoint):
    write(checkpoint)
    torch.save({"weight": torch.zeros(2)}, checkpoint)
    with pytest.raises(ValueError, match="describes another file.*write a new one"):
        read_model_card(checkpoint)


def test_a_checkpoint_without_card_is_an_error(checkpoint):
    with pytest.raises(FileNotFoundError, match="which network model.pt fits"):
        read_model_card(checkpoint)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"task": "organ"}, "one of gtv, igtv"),
        ({"network": {"variant": "nano"}}, "network.fusion, network.sim, network.sim_radius missing"),
        ({"spacing_mm": None, "suv_range": None}, "spacing_mm, suv_range missing"),
        ({"name": ""}, "name missing"),
    ],
)
def test_wrong_entries_are_refused(checkpoint, changes, message):
    with pytest.raises(ValueError, match=message):
        write(checkpoint, **changes)
    assert not model_card_path(checkpoint).exists()


def test_card_needs_its_checkpoint(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match="save the weights before"):
        write(tmp_path / "other.pt")
    write(checkpoint)
    checkpoint.unlink()
    with pytest.raises(FileNotFoundError, match="Check model_path"):
        read_model_card(checkpoint)


@pytest.mark.parametrize("content, message", [("{", "not valid JSON"), ("[]", "JSON object"), (json.dumps({}), "name")])
def test_broken_cards_are_named(checkpoint, content, message):
    model_card_path(checkpoint).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_model_card(checkpoint)


def test_a_card_that_cannot_run_its_model_is_refused_where_it_is_read(checkpoint):
    write(checkpoint)
    card = json.loads(model_card_path(checkpoint).read_text())
    del card["hu_window"], card["network"]["sim_radius"]
    model_card_path(checkpoint).write_text(json.dumps(card))
    with pytest.raises(ValueError, match="hu_window, network.sim_radius missing"):
        read_model_card(checkpoint)
