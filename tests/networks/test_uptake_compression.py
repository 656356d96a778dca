import math

import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.uptake_compression import compress_uptake


def scaled(suv, suv_max=15.0):
    return 2 * suv / suv_max - 1


@pytest.mark.parametrize("suv", [0.0, 0.5, 1.4, 7.5, 15.0])
def test_logarithm_of_the_suv(suv):
    images = torch.tensor([0.3, scaled(suv)]).view(1, 2, 1, 1)
    result = compress_uptake(images).flatten()
    assert result[0] == pytest.approx(0.3)
    assert result[1].item() == pytest.approx(2 * math.log(1 + suv / 0.5) / math.log(31) - 1, abs=1e-5)


def test_values_below_the_range_count_as_none():
    images = torch.full((1, 2, 2, 2), -1.5)
    assert torch.equal(compress_uptake(images)[:, 1], torch.full((1, 2, 2), -1.0))


def test_input_stays_and_gradients_are_finite():
    images = torch.rand(2, 2, 4, 4) * 2 - 1
    before = images.clone()
    images.requires_grad_(True)
    compress_uptake(images).sum().backward()
    assert torch.equal(images.detach(), before) and images.grad.isfinite().all()


def test_only_the_rectified_network_compresses(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "igtv.networks.igtv_network.compress_uptake", lambda images: seen.append(images.shape) or images
    )
    for fusion in ("cipa", "rectified"):
        IGTVNetwork(fusion=fusion, sim="none").eval()(torch.zeros(1, 2, 64, 64, 1))
    assert seen == [torch.Size([1, 2, 64, 64])]
