"""Any slab of slices whose sides are multiples of 32 from 64 up; other shapes are refused with a reason."""

import json

import pytest
import torch
from igtv.networks.variants import CNNS


@pytest.mark.parametrize("fusion", ["rectified", "cipa"])
@pytest.mark.parametrize("shape", [(1, 2, 64, 64, 1), (2, 2, 96, 64, 3), (1, 2, 64, 160, 6)])
def test_output_has_the_shape_of_the_input(make_network, make_stack, fusion, shape):
    with torch.no_grad():
        logits = make_network(fusion=fusion)(make_stack(*shape))
    assert logits.shape == (shape[0], 1, *shape[2:]) and logits.isfinite().all()


def test_batch_entries_do_not_influence_each_other(make_network, make_stack):
    network, stack = make_network(wake_sim=True), make_stack(2, 2, 64, 64, 3)
    with torch.no_grad():
        torch.testing.assert_close(network(stack)[1:], network(stack[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 2, 60, 64, 1), "multiples of 32 and at least 64, got 60 x 64"),
        ((1, 2, 64, 32, 1), "got 64 x 32"),
        ((1, 3, 64, 64, 1), "channels CT, PET"),
        ((1, 2, 64, 64), "got shape"),
        ((1, 2, 64, 64, 0), "at least one"),
    ],
)
def test_wrong_shape_is_refused(make_network, shape, text):
    with pytest.raises(ValueError, match=text):
        make_network()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ({"variant": "huge"}, "'huge' does not exist; choose one of nano, tiny, small, base"),
        ({"fusion": "sum"}, "'cipa' or 'rectified'"),
        ({"sim": "C"}, "'none', 'A' or 'B'"),
        ({"sim": "B", "sim_radius": 0}, "sim_radius >= 1"),
        ({"sim_radius": -1}, "0 or more"),
        ({"prompt_channels": -1}, "0 or more"),
        ({"foreground_prior": 0.0}, "between 0 and 1"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
    ],
)
def test_wrong_argument_is_refused(make_network, argument, text):
    with pytest.raises(ValueError, match=text):
        make_network(**argument)


@pytest.mark.parametrize("variant", CNNS)
def test_the_card_of_a_cnn_says_which_config_it_needs(make_network, bundle_dir, variant):
    with pytest.raises(ValueError, match=f"is a CNN .* configs/baselines/{variant}.json after train.json"):
        make_network(variant=variant)
    overlay = json.loads((bundle_dir / "configs" / "baselines" / f"{variant}.json").read_text())
    assert overlay["variant"] == variant and "network_def" in overlay
