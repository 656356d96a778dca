"""Measured properties of the published fusion (../shared/docs/network.md, B3 to B5), and that `rectified` is better."""

import pytest
import torch
from igtv.networks.channel_rectification import ChannelRectification, pool_to_grid
from igtv.networks.region_word_interaction import RegionWordInteraction
from torch import nn


def _gates(directions: int, ct: torch.Tensor, pet: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gates of every channel for maps without zeros, (C,) for CT and for PET."""
    torch.manual_seed(0)
    crm = ChannelRectification(8, 16, 4, directions).eval()
    with torch.no_grad():
        gated_ct, gated_pet = crm(ct, pet)
    return (gated_ct / ct).mean(dim=(0, 2, 3)), (gated_pet / pet).mean(dim=(0, 2, 3))


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(1, 6, 8, 8, generator=generator) + 0.5 for _ in range(3)]


def test_published_ct_gates_cannot_see_pet(maps):
    ct, pet, other = maps
    before, after = _gates(1, ct, pet), _gates(1, ct, other)
    assert (before[0] - after[0]).abs().max() == 0
    assert (_gates(1, ct, pet)[1] - _gates(1, other, pet)[1]).abs().max() > 1e-6


def test_published_gate_sees_earlier_channels_only(maps):
    ct, pet, _ = maps
    changed = ct.clone()
    changed[:, 3] = torch.rand(8, 8, generator=torch.Generator().manual_seed(9)) + 0.5
    difference = (_gates(1, ct, pet)[0] - _gates(1, changed, pet)[0]).abs()
    assert difference[:3].max() < 1e-6 and difference[3:].min() > 1e-6


def test_rectified_gates_see_both_modalities(maps):
    ct, pet, other = maps
    assert (_gates(2, ct, pet)[0] - _gates(2, ct, other)[0]).abs().min() > 1e-7
    assert (_gates(2, ct, pet)[1] - _gates(2, other, pet)[1]).abs().min() > 1e-7


@pytest.mark.parametrize("directions", [1, 2])
def test_gates_lie_between_one_and_two(maps, directions):
    for gate in _gates(directions, maps[0], maps[1]):
        assert gate.min() > 1 and gate.max() < 2


def test_published_sum_bypasses_the_gates_and_rectified_does_not(make_network, maps):
    for fusion, gated in (("cipa", False), ("rectified", True)):
        scale = make_network(fusion=fusion, sim="none").fusion[0]
        scale.dcim.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        ct, pet = (torch.randn(1, 24, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
        with torch.no_grad():
            fused, (gated_ct, gated_pet) = scale(ct, pet), scale.crm(ct, pet)
        expected = gated_ct + gated_pet if gated else ct + pet
        torch.testing.assert_close(fused, expected)


def test_region_token_is_added_to_every_word():
    """With the word scan switched off, the interaction is words plus one PET token per 4 x 4 window."""
    torch.manual_seed(0)
    dcim = RegionWordInteraction(32, 4, 2, batch_norm=False).eval()
    nn.init.zeros_(dcim.word_ss2d.out_proj.weight)
    ct, pet = torch.randn(1, 32, 8, 12), torch.randn(1, 32, 8, 12)
    with torch.no_grad():
        added = dcim(ct, pet) - dcim.word_stem(ct)
    windows = added.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)  # (1, C, 2, 3, 16)
    assert (windows - windows[..., :1]).abs().max() < 1e-5
    assert windows.std() > 0.01


def test_non_square_maps_keep_their_axes():
    """The published fold transposes them."""
    dcim = RegionWordInteraction(16, 4, 1, batch_norm=True).eval()
    with torch.no_grad():
        assert dcim(torch.randn(1, 16, 16, 32), torch.randn(1, 16, 16, 32)).shape == (1, 16, 16, 32)
        assert dcim(torch.randn(1, 16, 2, 3), torch.randn(1, 16, 2, 3)).shape == (1, 16, 2, 3)


def test_only_the_published_form_has_batch_norm_and_no_output_bias(make_network):
    def batch_norms(network):
        return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    published, rectified = make_network(fusion="cipa"), make_network(fusion="rectified")
    assert len(batch_norms(published)) == 24 and not batch_norms(rectified)
    assert published.head.output.bias is None


@pytest.mark.parametrize("prior", [0.01, 0.1])
def test_untrained_rectified_predicts_the_foreground_prior(make_network, make_stack, prior):
    network = make_network(foreground_prior=prior)
    with torch.no_grad():
        probability = torch.sigmoid(network(make_stack(1, 2, 64, 64, 2)))
    assert probability.mean() == pytest.approx(prior, rel=0.15)
    assert probability.max() < 2 * prior


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (9, 13), (4, 4)], ids=str)
def test_pooling_equals_the_adaptive_one_in_value_and_gradient(size):
    x = torch.randn(2, 3, *size, requires_grad=True)
    weights = torch.randn(2, 3, 8, 8)
    pooled, expected = pool_to_grid(x, 8), torch.nn.functional.adaptive_avg_pool2d(x, 8)
    torch.testing.assert_close(pooled, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.jit.script(pool_to_grid)(x, 8), pooled, rtol=0, atol=0)
    gradients = [torch.autograd.grad(y, x, weights)[0] for y in (pooled, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)
