"""Prompt channels: nothing until trained, and then they matter."""

import pytest
import torch


@pytest.mark.parametrize("fusion", ["cipa", "rectified"])
def test_untrained_prompts_change_nothing(make_network, make_stack, fusion):
    plain, prompted = make_network(fusion=fusion), make_network(fusion=fusion, prompt_channels=3)
    missing, unexpected = prompted.load_state_dict(plain.state_dict(), strict=False)
    assert missing and all(name.startswith("prompt_stem.") for name in missing) and not unexpected
    stack = make_stack(1, 5, 64, 64, 2)
    with torch.no_grad():
        assert torch.equal(prompted(stack), plain(stack[:, :2]))


def test_trained_prompts_reach_the_slice_and_its_neighbours_only(make_network, make_stack):
    network = make_network(wake_sim=True, prompt_channels=1, sim_radius=1)
    for parameter in network.prompt_stem.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    stack = make_stack(1, 3, 64, 64, 6)
    clicked = stack.clone()
    clicked[:, 2, 30:34, 30:34, 2] += 1
    with torch.no_grad():
        change = (network(stack) - network(clicked)).abs().amax(dim=(0, 1, 2, 3))
    assert (change[1:4] > 1e-5).all() and (change[[0, 4, 5]] < 1e-6).all()


def test_network_without_prompts_has_no_stem(make_network):
    assert not [name for name in make_network().state_dict() if name.startswith("prompt_stem.")]
