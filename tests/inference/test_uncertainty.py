"""Mean and entropy against closed forms."""

import math

import pytest
import torch
from igtv.inference.uncertainty import FlipEnsembleInferer, PredictiveEntropyd, predictive_entropy
from monai.data import MetaTensor
from monai.inferers import SimpleInferer


class Ramp(torch.nn.Module):
    """Logits that depend on the place: not equal for mirrored inputs."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, x):
        shape = [1] * x.ndim
        shape[self.axis] = x.shape[self.axis]
        return x[:, :1] + torch.linspace(-1, 1, x.shape[self.axis]).reshape(shape)


@pytest.mark.parametrize("flip, axis", [("x", 2), ("y", 3), ("z", 4)])
def test_mean_over_plain_and_mirrored(flip, axis):
    x = torch.randn(1, 2, 5, 6, 7)
    network = Ramp(axis)
    inferer = FlipEnsembleInferer(SimpleInferer(), flips=(flip,))
    plain, mirrored = torch.sigmoid(network(x)), torch.sigmoid(network(x.flip(axis)).flip(axis))
    torch.testing.assert_close(torch.sigmoid(inferer(x, network)), (plain + mirrored) / 2)


def test_one_word_is_one_mirrored_version():
    """Turned around in both axes at once, and not one version for each letter."""
    x = torch.randn(1, 2, 5, 6, 7)
    network = Ramp(2)
    inferer = FlipEnsembleInferer(SimpleInferer(), flips="xy")
    plain, mirrored = torch.sigmoid(network(x)), torch.sigmoid(network(x.flip((2, 3))).flip((2, 3)))
    torch.testing.assert_close(torch.sigmoid(inferer(x, network)), (plain + mirrored) / 2)


def test_pointwise_network_is_left_as_it_is():
    x = torch.randn(1, 2, 4, 4, 4)
    inferer = FlipEnsembleInferer(SimpleInferer(), flips=("x", "y", "z", "xyz"))
    torch.testing.assert_close(inferer(x, lambda v: v[:, :1]), x[:, :1], rtol=1e-4, atol=1e-4)


def test_a_single_answer_is_handed_through():
    logits = torch.full((1, 1, 2, 2, 2), 50.0)
    inferer = FlipEnsembleInferer(SimpleInferer(), flips=())
    assert inferer(torch.zeros(1, 2, 2, 2, 2), lambda v: logits) is logits


def test_certain_voxels_have_finite_logits_and_the_geometry_stays():
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    x = MetaTensor(torch.full((1, 2, 2, 2, 2), 200.0), affine=affine)
    result = FlipEnsembleInferer(SimpleInferer())(x, lambda v: v[:, :1])
    assert torch.isfinite(result).all() and (result > 13).all()
    torch.testing.assert_close(result.affine.squeeze(), affine)


def test_wrong_axis_is_named():
    with pytest.raises(ValueError, match="holds \\['q'\\]"):
        FlipEnsembleInferer(SimpleInferer(), flips=("x", "q"))


def test_entropy_of_known_probabilities():
    entropy = predictive_entropy(torch.tensor([0.0, 1.0, 0.5, 0.25]))
    expected = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    torch.testing.assert_close(entropy, torch.tensor([0.0, 0.0, 1.0, expected]))


def test_transform_adds_the_map():
    data = PredictiveEntropyd()({"probability": MetaTensor(torch.full((1, 2, 2, 2), 0.5)), "other": 1})
    assert data["uncertainty"].shape == (1, 2, 2, 2) and float(data["uncertainty"].max()) == 1 and data["other"] == 1
