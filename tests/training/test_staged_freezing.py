import pytest
import torch
from ignite.engine import Engine
from igtv.networks.igtv_network import IGTVNetwork
from igtv.training.staged_freezing import StagedFreezing


def learning_parts(network, parts, frozen_epochs, epochs, first_epoch=1):
    """Names of the parts that learn, epoch by epoch."""
    seen = []

    def step(engine, batch):
        seen.append({name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad})

    engine = Engine(step)
    StagedFreezing(network, parts, frozen_epochs).attach(engine)
    if first_epoch > 1:  # as after a resume
        engine.load_state_dict({"epoch": first_epoch - 1, "max_epochs": epochs, "epoch_length": 1})
    engine.run([0], max_epochs=epochs)
    return seen


@pytest.fixture(scope="module")
def network():
    return IGTVNetwork()


def all_parts(network):
    return {name.split(".")[0] for name, _ in network.named_parameters()}


def test_encoder_rests_for_two_epochs(network):
    everything = all_parts(network)
    without_encoder = everything - {"encoder", "modality_embedding"}
    seen = learning_parts(network, ["encoder"], 2, 3)
    assert seen == [without_encoder, without_encoder, everything]


def test_resumed_in_the_frozen_stage(network):
    seen = learning_parts(network, ["encoder"], 2, 3, first_epoch=2)
    assert "encoder" not in seen[0] and "encoder" in seen[1]


@pytest.mark.parametrize("parts, epochs", [([], 2), (["encoder"], 0)])
def test_nothing_to_freeze(parts, epochs, network):
    assert learning_parts(network, parts, epochs, 1) == [all_parts(network)]


@pytest.mark.parametrize("epochs", [0, 1])
def test_unknown_part(network, epochs):
    """Refused where it is given, and not after everything was prepared."""
    with pytest.raises(ValueError, match="frozen_parts names head9; a network's parts are encoder, "):
        StagedFreezing(network, ["encoder", "head9"], epochs)


def test_one_word_is_one_part(network):
    assert learning_parts(network, "encoder", 1, 1) == learning_parts(network, ["encoder"], 1, 1)
    with pytest.raises(ValueError, match="frozen_parts names encodr;"):
        StagedFreezing(network, "encodr", 1)


def test_refused_with_several_processes(network, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="--frozen_epochs 0"):
        StagedFreezing(network, ["encoder"], 1)
    StagedFreezing(network, ["encoder"], 0)


def test_a_rest_without_end_is_said(network, caplog):
    learning_parts(network, ["encoder", "sim"], 2, 3)
    assert "never learn" not in caplog.text
    learning_parts(network, ["encoder", "sim"], 3, 3)
    assert "encoder, sim never learn: frozen_epochs is 3 and the training has 3 epochs" in caplog.text


def test_a_network_that_rests_as_a_whole_is_refused(network):
    parts = ["encoder", "fusion", "sim", "decoder"]
    with pytest.raises(ValueError, match="encoder, fusion, sim, decoder, which is all of the network: nothing learns"):
        StagedFreezing(network, parts, 1)
    StagedFreezing(network, parts, 0)
    without = [part for part in parts if part != "sim"]
    StagedFreezing(network, without, 1)
    with pytest.raises(ValueError, match="which is all of the network"):
        StagedFreezing(IGTVNetwork(sim="none"), without, 1)
