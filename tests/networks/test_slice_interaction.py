"""Acceptance tests of the slice interaction (../shared/docs/network.md, end of part C), variants A and B."""

import math

import pytest
import torch
import torch.nn.functional as F
from igtv.networks.slice_interaction import GatedSliceMixing, NeighbourDifferences

VARIANTS = pytest.mark.parametrize("sim", ["A", "B"])


def _module(sim: str, radius: int = 2, width: int = 24) -> torch.nn.Module:
    torch.manual_seed(0)
    module = GatedSliceMixing(width, radius) if sim == "A" else NeighbourDifferences(width, radius)
    torch.nn.init.normal_(module.gamma)
    if sim == "A":
        torch.nn.init.normal_(module.w_o)
    else:
        torch.nn.init.normal_(module.offset_bias)
    return module.eval()


def _stack(slices: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, slices, 24, 8, 12, generator=torch.Generator().manual_seed(5))


@VARIANTS
@pytest.mark.parametrize("slices", [1, 3, 7])
def test_new_module_is_the_identity_bit_for_bit(make_network, make_stack, sim, slices):
    network, flat = make_network(sim=sim), make_network(sim="none")
    missing, unexpected = flat.load_state_dict(network.state_dict(), strict=False)
    assert not missing and all(name.startswith("sim.") for name in unexpected)
    stack = make_stack(1, 2, 64, 64, slices)
    with torch.no_grad():
        assert torch.equal(network(stack), flat(stack))


@VARIANTS
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_slice_sees_its_neighbours_and_nothing_beyond(sim, radius):
    module, stack = _module(sim, radius), _stack(9)
    edited = stack.clone()
    edited[:, 4] += torch.randn(24, 8, 12, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        change = (module(stack, 0, 9) - module(edited, 0, 9)).abs().amax(dim=(0, 2, 3, 4))
    for position in range(9):
        if abs(position - 4) <= radius:
            assert change[position] > 1e-4
        else:
            assert change[position] == 0


@VARIANTS
def test_window_around_a_slice_gives_the_same_as_the_whole_stack(sim):
    module, stack = _module(sim), _stack(7, batch=2)
    with torch.no_grad():
        whole = module(stack, 0, 7)
        for position in range(7):
            first, last = max(0, position - 2), min(7, position + 3)
            # a window that ends inside the stack reaches exactly the radius, so its missing slices are not asked for
            alone = module(stack[:, first:last], position - first, 1)
            torch.testing.assert_close(alone[:, 0], whole[:, position], rtol=0, atol=1e-5)


@VARIANTS
@pytest.mark.parametrize("slices", [1, 2, 4])
def test_short_stacks_equal_a_long_one_of_nothing_beyond(sim, slices):
    """Slices outside the volume contribute nothing: the result does not depend on how the range is asked for."""
    module, stack = _module(sim), _stack(slices)
    with torch.no_grad():
        whole = module(stack, 0, slices)
        parts = torch.cat([module(stack, position, 1) for position in range(slices)], dim=1)
    assert whole.isfinite().all()
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


@VARIANTS
def test_mirrored_weights_mirror_the_result(sim):
    module, mirrored, stack = _module(sim), _module(sim), _stack(6)
    with torch.no_grad():
        if sim == "A":
            mirrored.w_o.copy_(module.w_o.flip(0))
            mirrored.descriptor_conv.weight.copy_(module.descriptor_conv.weight.flip(-1))
            planes = module.spatial_conv.weight.view(1, 5, 2, 7, 7)  # offsets, then mean and maximum
            mirrored.spatial_conv.weight.copy_(planes.flip(1).reshape(1, 10, 7, 7))
        else:
            mirrored.offset_bias.copy_(module.offset_bias.flip(0))
        torch.testing.assert_close(mirrored(stack.flip(1), 0, 6).flip(1), module(stack, 0, 6), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slices", [1, 4])
def test_variant_a_by_hand(slices):
    """Loops over slice and offset: mixed slices times a gate per channel and one per pixel, nothing from beyond."""
    module, stack = _module("A").double(), _stack(slices).double()
    expected = torch.empty_like(stack[0])
    with torch.no_grad():
        v = module.norm(stack[0].permute(0, 2, 3, 1))  # (S, h, w, C)
        for s in range(slices):
            mixed, logit = torch.zeros_like(v[0]), module.spatial_conv.bias[:, None, None]
            mean, largest = torch.zeros(24).double(), torch.zeros(24).double()
            for offset in range(-2, 3):
                if not 0 <= s + offset < slices:
                    continue
                other = v[s + offset]
                mixed += module.w_o[offset + 2] * other
                taps = module.descriptor_conv.weight[:, 0, offset + 2]
                mean += taps * other.sum((0, 1)) / (8 * 12)
                largest += taps * other.flatten(0, 1).max(0).values
                planes = torch.stack([other.sum(-1) / 24, other.max(-1).values])  # of the ten planes, offset by offset
                kernel = module.spatial_conv.weight[:, 2 * (offset + 2) : 2 * (offset + 3)]
                logit = logit + F.conv2d(planes[None], kernel, padding=3)[0]
            channels = torch.sigmoid(module.channel_mlp(mean) + module.channel_mlp(largest))
            assert channels.std() > 0.01 and torch.sigmoid(logit).std() > 0.01  # gates that differ, not one factor
            spread = F.gelu(module.depthwise(mixed.permute(2, 0, 1)[None]))[0].permute(1, 2, 0)
            gated = spread * channels * torch.sigmoid(logit)[0, ..., None]
            expected[s] = stack[0, s] + (module.gamma * module.pointwise(gated)).permute(2, 0, 1)
        torch.testing.assert_close(module(stack, 0, slices)[0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("slices", [1, 4])
def test_variant_b_by_hand(slices):
    """Loops over slice, offset and head: the neighbours that are there share a softmax, absent ones have no part."""
    module, stack = _module("B").double(), _stack(slices).double()
    offsets = (-2, -1, 1, 2)
    expected = torch.empty_like(stack[0])
    with torch.no_grad():
        v = module.norm(stack[0].permute(0, 2, 3, 1))  # (S, h, w, C)
        pooled = [torch.cat([plane.sum((0, 1)) / (8 * 12), plane.flatten(0, 1).max(0).values]) for plane in v]
        embedded = module.spatial_embed(v)
        for s in range(slices):
            mixed = torch.zeros_like(v[0])
            for head in range(8):
                rows, own = slice(16 * head, 16 * head + 16), slice(3 * head, 3 * head + 3)  # 24 channels, 8 heads
                query = module.query.weight[rows] @ pooled[s] + module.query.bias[rows]
                powers = {}
                for offset in offsets:
                    if 0 <= s + offset < slices:
                        key = module.key.weight[rows] @ pooled[s + offset]
                        bias = module.offset_bias[offsets.index(offset), head].item()
                        powers[offset] = math.exp(sum((query * key).tolist()) / math.sqrt(16) + bias)
                for offset, power in powers.items():
                    dots = (embedded[s] * embedded[s + offset]).sum(-1)
                    cosine = dots / (embedded[s].square().sum(-1) * embedded[s + offset].square().sum(-1)).sqrt()
                    gate = 1 / (1 + torch.exp(-4 * cosine))
                    difference = (v[s + offset] - v[s])[..., own]
                    mixed[..., own] += power / sum(powers.values()) * gate[..., None] * difference
            spread = F.gelu(module.depthwise(mixed.permute(2, 0, 1)[None]))[0].permute(1, 2, 0)
            expected[s] = stack[0, s] + (module.gamma * module.pointwise(spread)).permute(2, 0, 1)
        torch.testing.assert_close(module(stack, 0, slices)[0], expected, rtol=0, atol=1e-6)  # the softmax is in fp32


def test_variant_b_leaves_equal_neighbours_alone():
    """Differences of equal slices are zero, so every slice gets the same correction, that of no difference."""
    module = _module("B")
    torch.nn.init.zeros_(module.depthwise.bias)
    torch.nn.init.zeros_(module.pointwise.bias)
    stack = _stack(1).repeat(1, 5, 1, 1, 1)
    with torch.no_grad():
        assert (module(stack, 0, 5) - stack).abs().max() < 1e-6
