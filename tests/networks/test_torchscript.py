"""The network as TorchScript: equal to the eager one, and loadable where the package is not."""

import os
import subprocess
import sys

import pytest
import torch

SHAPES = [(1, 2, 64, 64, 1), (1, 2, 64, 64, 5), (1, 2, 96, 64, 1), (1, 2, 96, 64, 5)]

WITHOUT_PACKAGE = """
import importlib.util, sys, torch
assert importlib.util.find_spec("igtv") is None
network = torch.jit.load(sys.argv[1])
cases = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    print(max((network(stack) - logits).abs().max().item() for stack, logits in cases))
"""


@pytest.mark.parametrize("arguments", [{}, {"sim": "B", "prompt_channels": 0}, {"fusion": "cipa"}])
def test_script_runs_without_the_package(tmp_path, make_network, make_stack, arguments):
    network = make_network(wake_sim=True, **arguments)
    shapes = SHAPES if not arguments else SHAPES[1:2]
    stacks = [make_stack(*shape) for shape in shapes]
    with torch.no_grad():
        cases = [[stack, network(stack)] for stack in stacks]
    torch.save(cases, tmp_path / "cases.pt")
    torch.jit.script(network).save(tmp_path / "network.ts")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGE, str(tmp_path / "network.ts"), str(tmp_path / "cases.pt")],
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert float(process.stdout) < 1e-4


def test_prompted_network_can_be_scripted_and_trained(make_network, make_stack):
    network = torch.jit.script(make_network(prompt_channels=1).train())
    network(make_stack(1, 3, 64, 64, 2)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_scripted_network_refuses_wrong_sizes(make_network):
    with pytest.raises(torch.jit.Error, match="multiples of 32"):
        torch.jit.script(make_network())(torch.zeros(1, 2, 60, 64, 1))
