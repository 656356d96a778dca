"""Loading of our own, CIPA's and ImageNet VMamba's files, what is reported, and what is refused."""

import argparse
import pickle

import pytest
import torch
from igtv.networks.checkpoint import load_weights
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.key_map import own_name


@pytest.fixture
def published_state(make_network, published_entries):
    """Weights of a nano network in the `cipa` form under the published names."""
    foreign = {own_name(name): name for name in published_entries}
    state = make_network(fusion="cipa", sim="none", seed=7).state_dict()
    return {foreign[name]: value for name, value in state.items()}


def _save(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    return path


def _same_output(network: IGTVNetwork, other: IGTVNetwork, stack: torch.Tensor) -> bool:
    with torch.no_grad():
        return torch.equal(network.eval()(stack), other.eval()(stack))


def test_every_published_name_and_shape_has_its_place(published_entries):
    with torch.device("meta"):
        state = IGTVNetwork("tiny", "cipa", "none").state_dict()
    translated = {own_name(name): shape for name, shape in published_entries.items()}
    assert len(translated) == len(published_entries) == 848
    assert translated == {name: tuple(value.shape) for name, value in state.items()}


def test_published_file_with_namespace_and_optimizer(tmp_path, make_network, published_state):
    content = {
        "model": {f"module.{name}": value for name, value in published_state.items()},
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 50,
        "args": argparse.Namespace(lr=6e-5, name="CIPA"),
    }
    network = make_network(fusion="cipa", sim="none")
    report = load_weights(network, _save(tmp_path, content))
    assert report.complete and len(report.loaded) == len(network.state_dict())
    state = network.state_dict()
    for name, value in published_state.items():
        assert torch.equal(state[own_name(name)], value)


def test_lightning_prefix_and_the_other_module_names(tmp_path, make_network, published_state):
    renamed = {
        "model." + name.replace("cross_mamba", "CRM").replace("channel_attn_mamba", "DCIM"): value
        for name, value in published_state.items()
    }
    network = make_network(fusion="cipa", sim="none")
    assert load_weights(network, _save(tmp_path, {"state_dict": renamed})).complete


@pytest.mark.parametrize("sim", ["A", "B"])
def test_two_dimensional_file_lacks_the_slice_interaction_only(
    tmp_path, make_network, make_stack, published_state, sim
):
    network = make_network(fusion="cipa", sim=sim)
    report = load_weights(network, _save(tmp_path, published_state))
    assert report.complete and report.missing and all(name.startswith("sim.") for name in report.missing)
    flat = make_network(fusion="cipa", sim="none", seed=7)
    assert _same_output(network, flat, make_stack(1, 2, 64, 64, 3))


def test_file_without_prompts_fits_a_network_with_them(tmp_path, make_network, make_stack):
    trained, network = make_network(seed=3), make_network(prompt_channels=2)
    report = load_weights(network, _save(tmp_path, {"network": trained.state_dict()}))
    assert report.complete and all(name.startswith("prompt_stem.") for name in report.missing)
    stack = make_stack(1, 4, 64, 64, 1)
    with torch.no_grad():
        assert torch.equal(network(stack), trained(stack[:, :2]))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "network.module."])
def test_own_file_with_prefix(tmp_path, make_network, make_stack, wrapper):
    trained, network = make_network(seed=3, wake_sim=True), make_network()
    state = {wrapper + name: value for name, value in trained.state_dict().items()}
    assert not load_weights(network, _save(tmp_path, state)).missing
    assert _same_output(network, trained, make_stack(1, 2, 64, 64, 2))


def test_own_file_into_a_wrapped_network(tmp_path, make_network):
    wrapped = torch.nn.ModuleDict({"module": make_network()})
    assert not load_weights(wrapped, _save(tmp_path, make_network(seed=3).state_dict())).missing


def test_imagenet_encoder_with_its_older_names(tmp_path, make_network, published_state):
    encoder = {}
    for name, value in published_state.items():
        if name.startswith("backbone.vssm.") and "outnorm" not in name:
            name = name.removeprefix("backbone.vssm.").replace(".norm.", ".ln_1.").replace(".op.", ".self_attention.")
            name = name.replace("downsample.ln_1", "downsample.norm")
            encoder[name.replace("patch_embed.0", "patch_embed.proj").replace("patch_embed.2", "patch_embed.norm")] = (
                value
            )
    encoder |= {"norm.weight": torch.ones(192), "norm.bias": torch.zeros(192)}
    encoder |= {"head.weight": torch.zeros(1000, 192), "head.bias": torch.zeros(1000)}
    path = _save(tmp_path, {"model": encoder})
    network = make_network()
    with pytest.raises(ValueError, match="fits the network only in part"):
        load_weights(network, path)
    report = load_weights(network, path, allow_partial=True)
    assert sorted(report.ignored) == ["head.bias", "head.weight", "norm.bias", "norm.weight"]
    assert not report.unexpected and not report.mismatched
    missing = [name for name in report.missing if name.startswith("encoder.")]
    assert missing and all(name.startswith("encoder.output_norms.") for name in missing)
    assert len(report.loaded) == len(encoder) - 4


def test_partial_file_is_refused_and_leaves_the_network_alone(tmp_path, make_network):
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = make_network(seed=3).state_dict()
    del state["decoder.levels.0.0.norm1.weight"]
    path = _save(tmp_path, state)
    with pytest.raises(ValueError, match=r"1 missing: decoder\.levels\.0\.0\.norm1\.weight"):
        load_weights(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert load_weights(network, path, allow_partial=True).missing == ["decoder.levels.0.0.norm1.weight"]


def test_half_a_slice_interaction_is_refused(tmp_path, make_network):
    state = make_network().state_dict()
    del state["sim.3.gamma"]
    with pytest.raises(ValueError, match=r"sim\.3\.gamma"):
        load_weights(make_network(), _save(tmp_path, state))


def test_other_sizes_and_forms_are_refused_with_the_names(tmp_path, make_network):
    path = _save(tmp_path, make_network(sim_radius=3).state_dict())
    with pytest.raises(ValueError, match=r"mismatched: sim\.0\.w_o \(7, 24\) in the file, \(5, 24\) here"):
        load_weights(make_network(), path)
    with pytest.raises(ValueError, match="unexpected: sim"):
        load_weights(make_network(sim="none"), path)
    with pytest.raises(ValueError, match="check variant, fusion and sim"):
        load_weights(make_network(fusion="cipa", sim="none"), path)


@pytest.mark.parametrize("other", [{"sim": "B"}, {"sim_radius": 3}])
def test_of_another_slice_interaction_nothing_is_taken(tmp_path, make_network, other):
    """A and B share the names of their output: with A's scale and none of what it scales, B would add noise."""
    state = make_network().state_dict()
    for name, value in state.items():
        if name.startswith("sim.") and name.endswith("gamma"):
            value.fill_(0.5)
    network = make_network(seed=3, **other)
    before = {name: value.clone() for name, value in network.state_dict().items() if name.startswith("sim.")}
    report = load_weights(network, _save(tmp_path, state), allow_partial=True)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(after[name].any() for name in before if name.endswith("gamma"))
    assert {name.split(".")[-1] for name in report.anew} >= {"gamma"} and "anew: sim.0." in str(report)
    assert report.loaded and not any(name.startswith("sim.") for name in report.loaded)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, make_network, value):
    """A scan on the CPU would give masks that look like any other."""
    network, state = make_network(), make_network(seed=3).state_dict()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    name = next(name for name in state if name.endswith("A_logs"))
    state[name].view(-1)[1] = value
    path = _save(tmp_path, {"network": state})
    for allow_partial in (False, True):
        with pytest.raises(ValueError, match=f"weights.pth: {name} holds NaN or infinite numbers"):
            load_weights(network, path, allow_partial=allow_partial)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class _Harmful:
    def __reduce__(self):
        return (print, ("code of the file was run",))


def test_files_that_are_no_checkpoint(tmp_path, make_network, capsys):
    network = make_network()
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*absent.pt"):
        load_weights(network, tmp_path / "absent.pt")
    text = tmp_path / "text.pt"
    text.write_text("not a checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint that can be read safely"):
        load_weights(network, text)
    harmful = tmp_path / "harmful.pt"
    harmful.write_bytes(pickle.dumps({"model": _Harmful()}))
    with pytest.raises(ValueError, match="read safely"):
        load_weights(network, harmful)
    assert "code of the file was run" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="holds no weights; its entries are epoch"):
        load_weights(network, _save(tmp_path, {"epoch": 3}))
    with pytest.raises(ValueError, match="none of its names is in the network"):
        load_weights(network, _save(tmp_path, {"layer.weight": torch.zeros(3)}))


def test_report_is_readable(tmp_path, make_network):
    report = load_weights(make_network(), _save(tmp_path, make_network(sim="none").state_dict()))
    text = str(report)
    assert "weights loaded" in text and "missing: sim.0.gamma" in text and " more" in text
