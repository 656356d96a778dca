"""Problems for the scan: random inputs as the network makes them, and the hard cases of its numerics."""

import math

import pytest
import torch
from igtv.scan import set_backend


def _step_size_bias(channels: int, generator: torch.Generator) -> torch.Tensor:
    """Inverse softplus of log-uniform step sizes in [1e-3, 0.1], as the network is initialised."""
    uniform = torch.rand(channels, generator=generator, dtype=torch.float64)
    step = torch.exp(uniform * (math.log(0.1) - math.log(1e-3)) + math.log(1e-3))
    return step + torch.log(-torch.expm1(-step))


@pytest.fixture(scope="session")
def make_problem():
    """(batch, groups, channels per group, N, L, kind) -> u, delta, A, B, C, D, delta_bias in fp32."""

    def make(batch, groups, per_group, states, length, kind="initial", seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        channels = groups * per_group
        u, delta = torch.nn.functional.silu(normal(batch, channels, length)), 0.5 * normal(batch, channels, length)
        A = -torch.arange(1, states + 1, dtype=torch.float64).repeat(channels, 1)
        bias, D = _step_size_bias(channels, generator), torch.ones(channels, dtype=torch.float64)
        if kind == "trained":
            A, D = A * torch.exp(0.5 * normal(channels, states)), normal(channels)
        elif kind == "large_delta":
            delta = 20 * delta + 5  # step sizes up to 50 beside nearly 0
        elif kind == "negative_A":
            A = 1e4 * A  # the state is forgotten at once nearly everywhere
        elif kind == "long_memory":
            bias, A = bias - 8, 1e-2 * A  # decay within 1e-7 of 1
        B, C = normal(batch, groups, states, length), normal(batch, groups, states, length)
        return [tensor.float() for tensor in (u, delta, A, B, C, D, bias)]

    return make


@pytest.fixture(scope="session")
def make_map_problem():
    """(batch, H, W, D, N, R, kind, directions K) -> x, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D in fp32."""

    def make(batch, height, width, channels, states, rank, kind="trained", directions=4, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator)

        x, x_proj, dt_proj, bias, A, D = [
            torch.nn.functional.silu(normal(batch, height, width, channels)),
            normal(directions, rank + 2 * states, channels) * channels**-0.5,
            normal(directions, channels, rank) * rank**-0.5,
            _step_size_bias(directions * channels, generator).float().view(directions, channels),
            -torch.arange(1.0, states + 1) * torch.exp(0.3 * normal(directions * channels, states)),
            normal(directions * channels),
        ]
        if kind == "long_memory":
            bias, A = bias - 8, 1e-2 * A  # decay within 1e-7 of 1
        return [x, x_proj, dt_proj, bias, A, D]

    return make


@pytest.fixture(scope="session")
def gradients_of():
    """(function, tensors, grad_y) -> y and the gradients of all tensors."""

    def compute(function, tensors, grad_y):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
        y = function(*leaves)
        return y.detach(), torch.autograd.grad(y, leaves, grad_y.to(y.dtype))

    return compute


@pytest.fixture(scope="session")
def relative_error():
    """Largest difference over largest magnitude, in fp64."""

    def compute(value, truth):
        truth = truth.double()
        return ((value.double() - truth).abs().max() / truth.abs().max().clamp_min(1e-30)).item()

    return compute


@pytest.fixture(autouse=True)
def automatic_backend(monkeypatch):
    """Every test starts and ends with the automatic choice."""
    monkeypatch.delenv("IGTV_SCAN_BACKEND", raising=False)
    set_backend(None)
    yield
    set_backend(None)


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's many small operations crawl where two threads compete for busy cores; thread tests set their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
