"""MONAI's tools on the bundle's network: does it keep what metadata.json promises, does it leave as TorchScript."""

import os
import subprocess
import sys

import pytest
import torch
from igtv.networks.checkpoint import load_weights
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import read_model_card
from monai.bundle import ckpt_export, verify_net_in_out

SHAPES = [(1, 2, 64, 64, 1), (1, 2, 64, 64, 5), (1, 2, 96, 64, 1), (1, 2, 96, 64, 5)]
# no path to the package: only torch reads the file
WITHOUT_PACKAGE = """
import sys, torch
network = torch.jit.load(sys.argv[1]).eval()
images = torch.load(sys.argv[2])
with torch.no_grad():
    torch.save([network(image) for image in images], sys.argv[3])
assert not [name for name in sys.modules if name.split(".")[0] in ("igtv", "monai")]
"""


@pytest.mark.parametrize("name", ["inference", "train"])
@pytest.mark.parametrize("numbers", [{"n": 1, "p": 1}, {"n": 2, "p": 3}])
def test_network_keeps_what_metadata_promises(bundle_copy, config_files, name, numbers):
    changes = {"bundle_root": str(bundle_copy)}
    metadata = str(bundle_copy / "configs" / "metadata.json")
    verify_net_in_out("network_def", metadata, config_files(name), device="cpu", **numbers, **changes)


def test_torchscript_file_needs_nothing_but_torch(bundle_copy, config_files, tmp_path):
    model = bundle_copy / "models" / "model.pt"
    script = tmp_path / "model.ts"
    ckpt_export(
        "network_def",
        filepath=str(script),
        ckpt_file=str(model),
        meta_file=str(bundle_copy / "configs" / "metadata.json"),
        config_file=config_files("inference")[0],
        bundle_root=str(bundle_copy),
    )
    eager = IGTVNetwork(**read_model_card(model)["network"]).eval()
    load_weights(eager, model)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(shape, generator=generator) * 2 - 1 for shape in SHAPES]
    torch.save(images, tmp_path / "images.pt")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", WITHOUT_PACKAGE, script, tmp_path / "images.pt", tmp_path / "answers.pt"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, timeout=300)
    answers = torch.load(tmp_path / "answers.pt", weights_only=True)
    with torch.no_grad():
        for image, answer in zip(images, answers, strict=True):
            expected = eager(image)
            assert answer.shape == expected.shape == (1, 1, *image.shape[2:])
            assert (answer - expected).abs().max() <= 1e-4
