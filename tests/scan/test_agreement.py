"""All back ends in fp32 against the recurrence in fp64: forward <= 1e-6, gradients <= 1e-5 (5e-5 for long memories).

The truth is PyTorch's back end in fp64, which `test_reference.py` checks against the definition.
"""

import math
from functools import partial

import pytest
import torch
from igtv.scan import selective_scan, selective_scan_2d

BACKENDS = ["torch", "numba"]
# Lengths of the four stages of `tiny` at 256 x 256, with an eighth of its 4 * (192, 384, 768, 1536) channels.
STAGES = [(1, 4, 24, 16, 4096), (1, 4, 48, 16, 1024), (1, 4, 96, 16, 256), (1, 4, 192, 16, 64)]
# The same with all channels.
FULL_STAGES = [(1, 4, 192, 16, 4096), (1, 4, 384, 16, 1024), (1, 4, 768, 16, 256), (1, 4, 1536, 16, 64)]
ODD = [(2, 3, 5, 5, 67), (3, 1, 33, 4, 64), (1, 2, 16, 1, 129), (70, 1, 20, 16, 16), (1, 1, 1, 1, 1), (2, 2, 17, 7, 3)]


@pytest.fixture
def errors_of(gradients_of, relative_error):
    """(function, tensors) -> {back end: (error of y, largest error of a gradient)} against fp64."""

    def compute(function, tensors):
        grad_y = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
        truth, true_gradients = gradients_of(partial(function, backend="torch"), [t.double() for t in tensors], grad_y)
        errors = {}
        for backend in BACKENDS:
            y, gradients = gradients_of(partial(function, backend=backend), tensors, grad_y)
            worst = max(relative_error(*pair) for pair in zip(gradients, true_gradients, strict=True))
            errors[backend] = relative_error(y, truth), worst
        return errors

    return compute


def _check(errors, gradient_limit=1e-5):
    for backend, (of_y, of_gradients) in errors.items():
        assert of_y <= 1e-6, backend
        assert of_gradients <= gradient_limit, backend


@pytest.mark.parametrize("sizes", STAGES + ODD, ids=str)
def test_sizes(make_problem, errors_of, sizes):
    _check(errors_of(partial(selective_scan, delta_softplus=True), make_problem(*sizes, "trained")))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sizes", FULL_STAGES, ids=str)
def test_full_channel_counts(make_problem, errors_of, sizes):
    _check(errors_of(partial(selective_scan, delta_softplus=True), make_problem(*sizes, "trained")))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sizes", FULL_STAGES, ids=str)
def test_full_channel_counts_of_a_map(make_map_problem, errors_of, sizes):
    batch, _, channels, states, length = sizes
    side = math.isqrt(length)
    _check(errors_of(selective_scan_2d, make_map_problem(batch, side, side, channels, states, channels // 32)))


@pytest.mark.parametrize("states", [1, 4, 16])
@pytest.mark.parametrize("kind", ["initial", "large_delta", "negative_A"])
def test_hard_numerics_over_16384_steps(make_problem, errors_of, kind, states):
    _check(errors_of(partial(selective_scan, delta_softplus=True), make_problem(1, 1, 16, states, 16384, kind)))


@pytest.mark.parametrize("states", [1, 4, 16])
def test_long_memory_over_16384_steps(make_problem, errors_of, states):
    """A decay within 1e-7 of 1 has hardly a bit left in fp32: the back ends must compute with its distance from 1."""
    problem = make_problem(1, 1, 32, states, 16384, "long_memory")
    _check(errors_of(partial(selective_scan, delta_softplus=True), problem), gradient_limit=5e-5)


@pytest.mark.parametrize("states", [1, 4, 16])
def test_long_memory_of_a_map(make_map_problem, errors_of, states):
    problem = make_map_problem(1, 128, 128, 16, states, 2, "long_memory")
    _check(errors_of(selective_scan_2d, problem), gradient_limit=5e-5)


def test_step_size_without_softplus(make_problem, errors_of):
    problem = make_problem(2, 2, 19, 4, 70)
    problem[1], problem[6] = problem[1].abs(), problem[6].abs()  # step sizes are positive
    _check(errors_of(selective_scan, problem))


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 64, 64, 32, 16, 6), (1, 8, 8, 384, 16, 48), (2, 16, 16, 48, 4, 6), (300, 4, 4, 40, 16, 5),
        (2, 7, 9, 10, 3, 2), (3, 5, 13, 40, 1, 1), (1, 1, 1, 3, 2, 1),
    ],
    ids=str,
)  # fmt: skip
def test_map_sizes(make_map_problem, errors_of, sizes):
    _check(errors_of(selective_scan_2d, make_map_problem(*sizes)))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("sizes", [(3, 1, 96, 40, 8, 2), (2, 1, 150, 64, 16, 6), (2, 5, 4, 10, 3, 1)], ids=str)
def test_fewer_directions(make_map_problem, errors_of, sizes, directions):
    """Sequences of tokens, maps of one row, are scanned forward, or forward and backward."""
    _check(errors_of(selective_scan_2d, make_map_problem(*sizes, directions=directions)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nan_in_the_input_reaches_the_output(make_problem, backend):
    for position in (0, 1):
        problem = make_problem(1, 1, 16, 4, 40)
        problem[position][0, 3, 20] = float("nan")
        y = selective_scan(*problem, delta_softplus=True, backend=backend)
        assert y[0, 3, 20:].isnan().all()
        assert not y[0, 3, :20].isnan().any() and not y[0, :3].isnan().any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_batch(make_problem, make_map_problem, gradients_of, backend):
    problem = make_problem(0, 2, 8, 4, 9)
    y, gradients = gradients_of(lambda *t: selective_scan(*t, backend=backend), problem, torch.zeros(0, 16, 9))
    assert y.shape == (0, 16, 9) and gradients[2].abs().max() == 0
    problem = make_map_problem(0, 3, 3, 8, 2, 1)
    y, gradients = gradients_of(lambda *t: selective_scan_2d(*t, backend=backend), problem, torch.zeros(0, 3, 3, 8))
    assert y.shape == (0, 3, 3, 8) and gradients[4].abs().max() == 0


def test_training_gives_the_same_losses_on_every_backend(make_map_problem):
    """Ten AdamW steps of a small scan network from one start."""

    def losses(backend):
        x, *weights = make_map_problem(2, 6, 5, 12, 4, 2)
        target = x.roll(1, 1)
        parameters = [torch.nn.Parameter(weight) for weight in weights]
        optimizer = torch.optim.AdamW(parameters, lr=1e-2)
        history = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = (selective_scan_2d(x, *parameters, backend=backend) - target).square().mean()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        return torch.tensor(history)

    truth = losses("reference")
    assert truth[-1] < 0.9 * truth[0]
    for backend in BACKENDS:
        torch.testing.assert_close(losses(backend), truth, rtol=1e-4, atol=0)
