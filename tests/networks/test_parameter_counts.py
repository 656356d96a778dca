"""Sizes of the network against the published ones (../shared/docs/network.md, B6 and part C)."""

import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork

PUBLISHED = {
    "tiny": {"encoder": 22_125_792, "crm": 2_404_356, "dcim": 6_015_330 + 12_237_120, "decoder": 11_789_600},
    "small": {"encoder": 43_649_760, "crm": 2_404_356, "dcim": 6_015_330 + 12_237_120, "decoder": 11_789_600},
    "base": {"encoder": 75_230_848, "crm": 2_404_356, "dcim": 10_688_760 + 21_190_400, "decoder": 20_754_468},
}
TOTAL = {"tiny": 54_572_198, "small": 76_096_166, "base": 130_268_832}


def _build(*arguments, **named) -> IGTVNetwork:
    with torch.device("meta"):
        return IGTVNetwork(*arguments, **named)


def _count(*modules) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize("variant", PUBLISHED)
def test_published_sizes(variant):
    network = _build(variant, "cipa", "none")
    counts = {
        "encoder": _count(network.encoder),
        "crm": _count(*[fusion.crm for fusion in network.fusion]),
        "dcim": _count(*[fusion.dcim for fusion in network.fusion]),
        "decoder": _count(network.decoder, network.head),
    }
    assert counts == PUBLISHED[variant]
    assert _count(network) == TOTAL[variant]


def test_published_sizes_of_single_blocks():
    network = _build("tiny", "cipa", "none")
    assert [_count(stage[0]) for stage in network.encoder.stages] == [105_408, 339_840, 1_195_776, 4_455_936]
    assert [_count(fusion.crm) for fusion in network.fusion] == [1_673_601, 469_377, 168_321, 93_057]
    stems = [_count(fusion.dcim.word_stem, fusion.dcim.region_stem) for fusion in network.fusion]
    assert stems == [71_406, 284_076, 1_133_208, 4_526_640]
    levels = [
        _count(level, upsampling)
        for level, upsampling in zip(network.decoder.levels, network.decoder.upsamplings, strict=True)
    ]
    assert [_count(network.decoder.expand), *levels] == [1_180_416, 7_998_848, 2_054_848, 536_576]
    assert _count(network.head) == 18_912


def test_entries_and_batch_norm_buffers():
    state = _build("tiny", "cipa", "none").state_dict()
    assert len(state) == 848 and len(_build("base", "cipa", "none").state_dict()) == 1_082
    buffers = [name for name in state if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(buffers) == 24 * 3
    assert sum(state[name].numel() for name in buffers) in (7_764, 7_764 + 24)


@pytest.mark.parametrize(
    ("sim", "per_scale"),
    [("A", [13_651, 46_775, 176_003, 683_291]), ("B", [61_424, 141_104, 355_760, 1_006_256])],
)
def test_slice_interaction_sizes(sim, per_scale):
    """As in part C; B without the 128 biases of its keys, which cancel in the softmax and would never be trained."""
    assert [_count(module) for module in _build("tiny", "cipa", sim).sim] == per_scale


def test_nano_is_small():
    assert 1e6 < _count(_build("nano", "rectified", "A")) < 2e6


def test_published_optimiser_left_out_raw_parameters():
    """Defect B10.1: 219 tensors with 8,673,024 values that the published grouping forgets."""
    raw = ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds", "scale1", "scale2")
    forgotten = [p for name, p in _build("tiny", "cipa", "none").named_parameters() if name.endswith(raw)]
    assert len(forgotten) == 219 and sum(p.numel() for p in forgotten) == 8_673_024
