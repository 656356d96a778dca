"""`fusion="cipa"` against numbers computed with the published network on made-up weights (see ../shared)."""

import importlib.util

import numpy as np
import pytest
import torch
from igtv.networks.checkpoint import load_weights
from igtv.networks.igtv_network import IGTVNetwork

PARTS = (
    [f"encoder.{modality}.scale{scale}" for modality in ("ct", "pet") for scale in range(4)]
    + [f"crm.{modality}.scale{scale}" for modality in ("ct", "pet") for scale in range(4)]
    + [f"{part}.scale{scale}" for part in ("dcim", "fused") for scale in range(4)]
    + [f"decoder.level{level}" for level in range(4)]
)


def _record_parts(network: IGTVNetwork) -> dict[str, torch.Tensor]:
    """Collect every part's output under its golden name during the next forward pass."""
    parts: dict[str, torch.Tensor] = {}

    def keep(name, module, change=lambda output: output):
        module.register_forward_hook(lambda *call: parts.update({name: change(call[-1])}))

    def keep_encoder(module, inputs, maps):
        for scale, stacked in enumerate(maps):
            parts[f"encoder.ct.scale{scale}"], parts[f"encoder.pet.scale{scale}"] = stacked[:1], stacked[1:]

    network.encoder.register_forward_hook(keep_encoder)
    for scale, fusion in enumerate(network.fusion):
        keep(f"crm.ct.scale{scale}", fusion.crm, lambda pair: pair[0])
        keep(f"crm.pet.scale{scale}", fusion.crm, lambda pair: pair[1])
        keep(f"dcim.scale{scale}", fusion.dcim, lambda output: output.permute(0, 2, 3, 1))
        keep(f"fused.scale{scale}", fusion)
    keep("decoder.level0", network.decoder.expand)
    for level, upsampling in enumerate(network.decoder.upsamplings, start=1):
        keep(f"decoder.level{level}", upsampling)
    return parts


@pytest.fixture(scope="module")
def golden(shared_dir):
    return np.load(shared_dir / "data" / "cipa_golden" / "tiny_seed1.npz")


@pytest.fixture(scope="module")
def computed(shared_dir, golden, tmp_path_factory):
    """Logits (512, 512) and all parts of our network with the golden weights, loaded through the key map."""
    spec = importlib.util.spec_from_file_location("golden_weights", shared_dir / "data/cipa_golden/weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    state = weights.state(1, str(shared_dir / "docs" / "cipa_tiny_state_dict.txt"))
    path = tmp_path_factory.mktemp("golden") / "cipa.pth"
    torch.save({"model": {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}}, path)
    with torch.device("meta"):
        network = IGTVNetwork("tiny", fusion="cipa", sim="none")
    network = network.to_empty(device="cpu").eval()
    assert len(load_weights(network, path).loaded) == 848
    path.unlink()
    parts = _record_parts(network)
    images = [torch.from_numpy(golden[modality].astype(np.float32)) for modality in ("ct", "pet")]
    with torch.no_grad():
        logits = network(torch.stack(images)[None, ..., None])
    return logits[0, 0, :, :, 0].numpy(), parts


@pytest.mark.parametrize("part", PARTS)
def test_part_agrees(part, golden, computed):
    output = computed[1][part].contiguous()
    assert tuple(output.shape) == tuple(golden[f"{part}.shape"])
    flat = output.flatten().numpy()
    sample, expected = flat[:: max(1, flat.size // 2048)][:2048], golden[f"{part}.sample"]
    assert np.abs(sample - expected).max() <= 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose([flat.mean(), flat.std()], golden[f"{part}.mean_std"], rtol=1e-3, atol=1e-4)


def test_logits_agree(golden, computed):
    expected = golden["logits"]
    assert np.abs(computed[0] - expected).max() <= 1e-3 * np.abs(expected).max()
