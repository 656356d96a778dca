"""The definition against hand-computed numbers and an independent loop; gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
from igtv.scan import selective_scan, selective_scan_2d


def _tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def test_two_steps_by_hand():
    # s = (1, 2), A = -log 2, so the decays are 1/2 and 1/4; h1 = 1*3*1 = 3, h2 = 3/4 + 2*5*2 = 20.75
    y = selective_scan(
        _tensor([[[3.0, 5.0]]]), _tensor([[[0.5, 1.5]]]), _tensor([[-math.log(2)]]),
        _tensor([[[[1.0, 2.0]]]]), _tensor([[[[10.0, 1.0]]]]), _tensor([0.1]), _tensor([0.5]), backend="reference",
    )  # fmt: skip
    np.testing.assert_allclose(y.numpy(), [[[30.3, 21.25]]], rtol=1e-14)


def test_softplus_of_the_step_size_by_hand():
    # softplus(log(e - 1)) = 1, hence y = B u C = 2 * 3 * 5
    y = selective_scan(
        _tensor([[[3.0]]]), _tensor([[[math.log(math.e - 1)]]]), _tensor([[-1.0]]), _tensor([[[[2.0]]]]),
        _tensor([[[[5.0]]]]), delta_softplus=True, backend="reference",
    )  # fmt: skip
    assert y.item() == pytest.approx(30.0, rel=1e-14)


def _scan_in_numpy(u, delta, A, B, C, D, bias):
    """Four nested loops, with NumPy's own exp and log1p."""
    y = np.zeros_like(u)
    for b, channel in np.ndindex(u.shape[:2]):
        group = channel * B.shape[1] // u.shape[1]
        state = np.zeros(A.shape[1])
        for t in range(u.shape[2]):
            step = np.log1p(np.exp(delta[b, channel, t] + bias[channel]))
            state = np.exp(step * A[channel]) * state + step * B[b, group, :, t] * u[b, channel, t]
            y[b, channel, t] = C[b, group, :, t] @ state + D[channel] * u[b, channel, t]
    return y


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_equals_an_independent_loop(make_problem, backend):
    problem = [tensor.double() for tensor in make_problem(2, 3, 2, 4, 17, "trained")]
    y = selective_scan(*problem, delta_softplus=True, backend=backend)
    np.testing.assert_allclose(y.numpy(), _scan_in_numpy(*(t.numpy() for t in problem)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
def test_four_directions_are_four_scans_of_reordered_pixels(make_map_problem, backend):
    """Every direction by itself, with the pixels' order written out."""
    x, x_proj, dt_proj, dt_bias, A, D = (tensor.double() for tensor in make_map_problem(1, 2, 3, 5, 2, 2))
    orders = [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]
    merged = torch.zeros(6, 5, dtype=torch.float64)
    for k, order in enumerate(orders):
        u = x.view(6, 5)[order]
        ranks, B, C = (u @ x_proj[k].T).split([2, 2, 2], dim=1)
        delta = ranks @ dt_proj[k].T
        part = slice(5 * k, 5 * k + 5)
        arguments = (u.T[None], delta.T[None], A[part], B.T[None, None], C.T[None, None], D[part], dt_bias[k])
        merged[order] += torch.from_numpy(_scan_in_numpy(*(t.numpy() for t in arguments)))[0].T
    inputs = (x, x_proj, dt_proj, dt_bias, A, D)
    tolerance = 1e-12
    if backend == "numba":
        inputs, tolerance = [tensor.float() for tensor in inputs], 1e-5
    y = selective_scan_2d(*inputs, backend=backend).view(6, 5).double()
    np.testing.assert_allclose(y.numpy(), merged.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("softplus", [True, False])
def test_gradients_by_finite_differences(make_problem, softplus):
    problem = [tensor.double() for tensor in make_problem(2, 2, 2, 3, 5, "trained")]
    if not softplus:
        problem[1], problem[6] = problem[1].abs(), problem[6].abs()  # step sizes are positive
    problem = [tensor.requires_grad_() for tensor in problem]

    def scan(*tensors):
        return selective_scan(*tensors, delta_softplus=softplus, backend="torch")

    assert torch.autograd.gradcheck(scan, problem)


def test_gradients_of_the_map_form_by_finite_differences(make_map_problem):
    problem = [tensor.double().requires_grad_() for tensor in make_map_problem(2, 3, 2, 2, 2, 1)]
    assert torch.autograd.gradcheck(lambda *tensors: selective_scan_2d(*tensors, backend="torch"), problem)


def test_gradients_across_segments_equal_autograd_through_the_definition(
    make_problem, gradients_of, relative_error, monkeypatch
):
    """With blocks so small that batch and time are both cut, and cut unevenly."""
    monkeypatch.setattr("igtv.scan.torch_backend.BLOCK_ELEMENTS", 4 * 6 * 3 * 5)
    problem = [tensor.double() for tensor in make_problem(5, 2, 3, 3, 23, "trained")]
    grad_y = torch.randn(5, 6, 23, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def run(backend):
        return gradients_of(lambda *t: selective_scan(*t, delta_softplus=True, backend=backend), problem, grad_y)

    (y, gradients), (truth, true_gradients) = run("torch"), run("reference")
    assert relative_error(y, truth) < 1e-13
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert relative_error(gradient, true_gradient) < 1e-12
