"""What training needs of the network: gradients everywhere, tiny batches, several processes."""

import os
import subprocess
import sys

import pytest
import torch
from igtv.networks.parameter_groups import param_groups


def _step(network, optimizer, stack) -> float:
    target = (stack[:, 1:2] > 0.5).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(network(stack), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"sim": "A", "prompt_channels": 1}, (1, 3, 64, 256, 2)),
        ({"sim": "B"}, (1, 2, 64, 256, 3)),
        ({"fusion": "cipa", "sim": "A"}, (1, 2, 64, 256, 2)),
    ],
)
def test_every_parameter_has_had_a_gradient_after_two_steps(make_network, make_stack, arguments, shape):
    """On slices with more than one region at the coarsest scale: the decay of a scan over one step has no effect."""
    network = make_network(**arguments).train()
    optimizer = torch.optim.AdamW(param_groups(network, 1e-3, 0.01))
    reached = set()
    for seed in (1, 2):
        _step(network, optimizer, make_stack(*shape, seed=seed))
        reached |= {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {name for name, _ in network.named_parameters()} - reached == set()


def test_only_gamma_of_the_slice_interaction_learns_at_first(make_network, make_stack):
    network = make_network(sim="A").train()
    network(make_stack(1, 2, 64, 64, 2)).square().mean().backward()
    for name, parameter in network.sim.named_parameters():
        assert (parameter.grad.abs().max() > 0) == name.endswith("gamma")


def test_rectified_trains_on_one_small_slice(make_network, make_stack):
    network = make_network(drop_path_rate=0.1).train()
    optimizer = torch.optim.AdamW(param_groups(network, 5e-3, 0.01))
    stack = make_stack(1, 2, 64, 64, 1)
    losses = [_step(network, optimizer, stack) for _ in range(5)]
    assert losses[-1] < 0.9 * losses[0]


TWO_PROCESSES = """
import sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.parameter_groups import param_groups
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]), world_size=2)
for fusion in ("rectified", "cipa"):
    torch.manual_seed(0)
    network = DistributedDataParallel(IGTVNetwork(fusion=fusion), find_unused_parameters=False)
    optimizer = torch.optim.AdamW(param_groups(network, 1e-3, 0.01))
    stack = torch.randn(2, 2, 64, 64, 1, generator=torch.Generator().manual_seed(dist.get_rank()))
    for _ in range(2):
        optimizer.zero_grad()
        network(stack).square().mean().backward()
        optimizer.step()
    total = torch.stack([p.double().sum() for p in network.parameters()])
    both = [torch.empty_like(total) for _ in range(2)]
    dist.all_gather(both, total)
    assert torch.equal(both[0], both[1]), f"{fusion}: the processes' weights differ"
dist.barrier()  # the process that is done first would abort when the other one closes its connections
dist.destroy_process_group()
"""


@pytest.mark.dist
def test_two_processes_without_unused_parameters(tmp_path, bundle_dir):
    environment = {**os.environ, "PYTHONPATH": str(bundle_dir), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "meeting"), str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
