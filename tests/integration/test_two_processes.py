"""Two processes over gloo train one network."""

import csv
import json
import os
import subprocess

import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork
from monai.bundle import ConfigWorkflow

# every process leaves its weights behind when its training ends
KEEP_WEIGHTS = """
import os
import torch
from igtv.training.progress import TrainingProgress
close = TrainingProgress._close
def keep(self, engine):
    torch.save(engine.network.state_dict(), f"{os.environ['KEEP']}_{os.environ['RANK']}.pt")
    close(self, engine)
TrainingProgress._close = keep
"""


@pytest.fixture
def eager_weights(tmp_path):
    """A network that calls most voxels tumour, so that each patient has a Dice of its own above 0."""
    torch.manual_seed(0)
    network = IGTVNetwork()
    biases = [name for name, value in network.head.named_parameters() if name.endswith("bias") and value.numel() == 1]
    (name,) = biases
    network.head.get_parameter(name).data.fill_(4.0)
    path = tmp_path / "eager.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.dist
def test_two_processes_end_with_the_same_weights(command_line, bundle_dir, tiny_phantom, eager_weights, tmp_path):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(KEEP_WEIGHTS)
    folder = tmp_path / "run"
    command = command_line(
        folder,
        names=("train.json", "multi_gpu_train.json"),
        launcher=("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"),
        model_path=eager_weights,
        samples_per_epoch=4,
        epochs=1,
    )
    command["env"]["PYTHONPATH"] = f"{hook}{os.pathsep}{command['env']['PYTHONPATH']}"
    command["env"]["KEEP"] = str(tmp_path / "rank")
    done = subprocess.run(**command, timeout=400, check=False)
    assert done.returncode == 0, done.stdout.decode()[-6000:]

    first, second = (torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = torch.load(eager_weights, weights_only=True)
    assert any(not torch.equal(first[f"module.{name}"], value) for name, value in start.items())
    IGTVNetwork().load_state_dict(torch.load(folder / "model.pt", weights_only=True))  # no trace of the wrapper
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert manifest["results"]["epochs"] == 1

    (row,) = csv.DictReader((folder / "training_log.csv").read_text().splitlines())
    assert 0 < float(row["val_dice"]) < 1
    assert float(row["val_dice"]) == pytest.approx(dice_in_one_process(bundle_dir, tiny_phantom, folder), abs=1e-5)


def dice_in_one_process(bundle_dir, dataset_dir, folder):
    """Mean Dice over all validation patients of the weights that the two processes left."""
    workflow = ConfigWorkflow(
        config_file=[str(bundle_dir / "configs" / "train.json")],
        meta_file=str(bundle_dir / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        run_id="training",
        bundle_root=str(bundle_dir),
        dataset_dir=str(dataset_dir),
        model_path=str(folder / "model_last.pt"),
        spacing_mm=[6.0, 6.0, 5.0],
        num_workers=0,
        device="cpu",
    )
    workflow.initialize()
    evaluator = workflow.parser.get_parsed_content("validate#evaluator")
    evaluator.run(1)
    assert evaluator.state.metric_details["val_dice"].shape[0] == 2
    return evaluator.state.metrics["val_dice"]
