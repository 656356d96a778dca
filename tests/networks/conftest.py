"""Shared by the network tests: names of the published weights, small networks, a stack that looks like data."""

from pathlib import Path

import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork


@pytest.fixture(scope="session")
def published_entries(shared_dir) -> dict[str, tuple[int, ...]]:
    """Name and shape of the 848 entries of CIPA tiny's state_dict."""
    entries = {}
    for line in Path(shared_dir / "docs" / "cipa_tiny_state_dict.txt").read_text().splitlines():
        name, shape, _ = line.split("\t")
        entries[name] = tuple(int(part) for part in shape.strip("()").replace(" ", "").split(",") if part)
    return entries


@pytest.fixture
def make_network():
    """Return a function that builds an IGTVNetwork with seeded weights; `wake_sim` gives SIM something to do."""

    def make(wake_sim: bool = False, seed: int = 0, **arguments) -> IGTVNetwork:
        torch.manual_seed(seed)
        network = IGTVNetwork(**arguments)
        if wake_sim:
            for module in network.sim:
                torch.nn.init.normal_(module.gamma)
        return network.eval()

    return make


@pytest.fixture
def make_stack():
    """Return a function that makes a random stack (B, channels, H, W, S) in [-1, 1]."""

    def make(*shape: int, seed: int = 1) -> torch.Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    return make
