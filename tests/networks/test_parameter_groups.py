"""Every parameter in exactly one group, decay where it belongs, parts that rest."""

import pytest
import torch
from igtv.networks.parameter_groups import PARTS, freeze, param_groups
from monai.networks.nets import SegResNet


@pytest.mark.parametrize("arguments", [{"sim": "A", "prompt_channels": 2}, {"sim": "B"}, {"fusion": "cipa"}])
def test_every_parameter_is_in_exactly_one_group(make_network, arguments):
    network = make_network(**arguments)
    grouped = [id(p) for group in param_groups(network, 1e-3, 0.05) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in network.parameters()}


def test_decay_and_rates(make_network):
    network = make_network(sim="A")
    groups = param_groups(network, 1e-3, 0.05, sim_lr_multiplier=4.0)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        last = name.rsplit(".", 1)[-1]
        assert rate[id(parameter)] == pytest.approx(4e-3 if name.startswith("sim.") else 1e-3)
        never = (
            last in ("A_logs", "Ds", "scale1", "scale2", "gamma", "w_o", "bias", "dt_projs_bias") or parameter.ndim == 1
        )
        if never or last == "modality_embedding" or "descriptor_conv" in name:
            assert decay[id(parameter)] == 0, name
        else:
            assert decay[id(parameter)] == 0.05, name


def test_dt_bias_is_not_decayed_although_it_has_two_axes(make_network):
    network = make_network()
    free = {id(p) for g in param_groups(network, 1e-3, 0.1) if g["weight_decay"] == 0 for p in g["params"]}
    biases = [p for name, p in network.named_parameters() if name.endswith("dt_projs_bias")]
    assert biases and all(p.ndim == 2 and id(p) in free for p in biases)


def test_other_networks_have_groups_too():
    groups = param_groups(SegResNet(3, 8, 2, 1), 1e-3, 0.01)
    assert [group["name"] for group in groups] == ["network, decayed", "network, not decayed"]
    torch.optim.AdamW(groups, lr=1e-3)


@pytest.mark.parametrize("part", PARTS)
def test_part_rests_and_is_released(make_network, part):
    network = make_network(fusion="cipa").train()
    freeze(network, [part])
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (name.split(".")[0] not in PARTS[part])
    freeze(network, [])
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


def test_resting_fusion_keeps_its_batch_statistics(make_network, make_stack):
    network = make_network(fusion="cipa").train()
    freeze(network, ["encoder", "fusion"])
    network.train()
    before = {name: value.clone() for name, value in network.fusion.state_dict().items()}
    network(make_stack(2, 2, 64, 64, 1))
    assert network.decoder.training
    assert all(torch.equal(value, before[name]) for name, value in network.fusion.state_dict().items())


def test_unknown_and_absent_parts_are_refused(make_network):
    with pytest.raises(ValueError, match=r"unknown parts \['head'\]"):
        freeze(make_network(), ["head"])
    with pytest.raises(ValueError, match="SegResNet has no part encoder"):
        freeze(SegResNet(3, 8, 2, 1), ["encoder"])
    freeze(make_network(sim="none"), ["sim"])
