import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork
from igtv.training.initial_weights import load_initial_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(IGTVNetwork(sim="none").state_dict(), path)
    return path


def test_random_without_a_path():
    network = IGTVNetwork()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert load_initial_weights(network, None) is network
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_loads(weights):
    network = load_initial_weights(IGTVNetwork(sim="none"), weights)
    expected = torch.load(weights, weights_only=True)
    assert all(torch.equal(expected[name], value) for name, value in network.state_dict().items())


def test_wrong_checkpoint(weights):
    with pytest.raises(ValueError, match="wrong checkpoint"):
        load_initial_weights(IGTVNetwork(variant="tiny"), weights)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_initial_weights(IGTVNetwork(), tmp_path / "model.pt")
