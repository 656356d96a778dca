"""Whole volumes: equal to the network in one go, few slices held, any size, any network."""

import pytest
import torch
from igtv.inference.whole_volume import WholeVolumeInferer
from igtv.networks.igtv_network import IGTVNetwork
from monai.data import MetaTensor
from monai.networks.nets import SegResNet


@pytest.fixture(scope="module", params=["A", "B", "none"])
def network(request) -> IGTVNetwork:
    torch.manual_seed(0)
    network = IGTVNetwork(sim=request.param)
    for module in network.sim:
        torch.nn.init.normal_(module.gamma)
    return network.eval()


def _volume(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


class _CountingNetwork:
    """Stands in for a network: logits are the CT summed over s-2..s+2, and what is held is counted."""

    sim_radius = 2

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.most_held = 0

    def encode(self, x):
        self.encoded.append(x.shape[4])
        return [x[:, :1].permute(0, 4, 1, 2, 3).flatten(0, 1)]

    def decode(self, maps, slices, start, count):
        self.most_held = max(self.most_held, slices)
        stack = maps[0].unflatten(0, (-1, slices))
        sums = [stack[:, max(0, s - 2) : s + 3].sum(1) for s in range(start, start + count)]
        return torch.stack(sums, dim=-1)


def test_mixed_precision_is_near_and_gives_float32(network):
    volume = _volume(1, 2, 64, 64, 4)
    exact = WholeVolumeInferer()(volume, network)
    near = WholeVolumeInferer(mixed_precision=True)(volume, network)
    assert near.dtype == torch.float32
    # bfloat16 keeps 8 bits; its rounding must show, or nothing was computed in it
    assert 1e-5 < ((near - exact).abs().max() / exact.abs().max()) < 0.03


@pytest.mark.parametrize("slices_per_step", [1, 3, 20])
def test_equals_the_network_on_the_whole_volume(network, slices_per_step):
    volume = _volume(2, 2, 64, 96, 6)
    with torch.no_grad():
        expected = network(volume)
    streamed = WholeVolumeInferer(slices_per_step)(volume, network)
    torch.testing.assert_close(streamed, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("slices", [1, 2, 4, 5, 6, 40])
@pytest.mark.parametrize("slices_per_step", [1, 2, 4])
def test_every_slice_is_encoded_once_and_few_are_held(slices, slices_per_step):
    volume, network = _volume(1, 2, 64, 64, slices), _CountingNetwork()
    streamed = WholeVolumeInferer(slices_per_step)(volume, network)
    expected = torch.stack([volume[:, :1, :, :, max(0, s - 2) : s + 3].sum(-1) for s in range(slices)], dim=-1)
    torch.testing.assert_close(streamed, expected, rtol=0, atol=1e-5)
    assert sum(network.encoded) == slices and max(network.encoded) <= slices_per_step
    assert network.most_held <= slices_per_step + 2 * network.sim_radius


def test_odd_sizes_are_padded_with_the_lowest_value_and_cropped():
    torch.manual_seed(0)
    network = IGTVNetwork().eval()
    volume = _volume(1, 2, 61, 70, 3)
    lowest = volume.amin(dim=(0, 2, 3, 4)).view(1, 2, 1, 1, 1)
    padded = lowest.expand(1, 2, 64, 96, 3).clone()
    padded[:, :, 1:62, 13:83] = volume
    with torch.no_grad():
        expected = network(padded)[:, :, 1:62, 13:83]
    torch.testing.assert_close(WholeVolumeInferer()(volume, network), expected, rtol=0, atol=1e-5)


def test_meta_data_and_output_device_are_kept():
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0]))
    volume = MetaTensor(_volume(1, 2, 64, 64, 2), affine=affine)
    result = WholeVolumeInferer(output_device="cpu")(volume, _CountingNetwork())
    assert isinstance(result, MetaTensor) and result.device.type == "cpu"
    torch.testing.assert_close(result.affine, volume.affine)


def test_wrapped_and_scripted_networks():
    torch.manual_seed(0)
    network = IGTVNetwork().eval()
    volume = _volume(1, 2, 64, 64, 3)
    expected = WholeVolumeInferer()(volume, network)
    wrapped = torch.nn.Module()
    wrapped.module = network
    assert torch.equal(WholeVolumeInferer()(volume, wrapped), expected)
    scripted = WholeVolumeInferer()(volume, torch.jit.script(network))
    torch.testing.assert_close(scripted, expected, rtol=0, atol=1e-4)


def test_other_networks_slide_a_window():
    """SegResNet has an `encode` of its own, which must not be taken for ours."""
    torch.manual_seed(0)
    network = SegResNet(3, 8, 2, 1).eval()
    volume = _volume(1, 2, 40, 50, 20)
    result = WholeVolumeInferer(window_size=(32, 32, 16))(volume, network)
    assert result.shape == (1, 1, 40, 50, 20) and result.isfinite().all()
    fitting = _volume(1, 2, 32, 32, 16)
    with torch.no_grad():
        expected = network(fitting)
    torch.testing.assert_close(WholeVolumeInferer(window_size=(32, 32, 16))(fitting, network), expected)


def test_a_window_wider_than_the_volume_is_filled_with_what_training_fills_it_with():
    """-1 is air without uptake; 0 would be half of the SUV range all around the patient."""
    seen = []

    class Watching(torch.nn.Module):
        def forward(self, x):
            seen.append((float(x.max()), float(x.min())))
            return x[:, :1]

    volume = torch.full((1, 2, 20, 30, 9), -1.0)
    result = WholeVolumeInferer(window_size=(32, 32, 16))(volume, Watching())
    assert seen == [(-1.0, -1.0)] and result.shape == (1, 1, 20, 30, 9)


def test_progress_is_shown(capsys):
    WholeVolumeInferer(progress=True)(_volume(1, 2, 64, 64, 3), _CountingNetwork())
    assert "segmenting: 100%" in capsys.readouterr().err


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="slices_per_step must be at least 1, got 0"):
        WholeVolumeInferer(0)
    with pytest.raises(ValueError, match="batch, channels, H, W, slices"):
        WholeVolumeInferer()(torch.zeros(2, 64, 64), _CountingNetwork())
