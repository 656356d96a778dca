"""The two public functions inside PyTorch: scripted, compiled, under autocast and inference mode, with wrong shapes."""

import copy
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from igtv.scan import numba_backend, selective_scan, selective_scan_2d, torch_backend
from igtv.scan.cross_scan import project
from torch import nn


class MapScan(nn.Module):
    """A module that calls the four-direction scan, as the network's blocks do."""

    def __init__(self, weights):
        super().__init__()
        self.x_proj, self.dt_proj, self.dt_bias, self.A, self.D = (nn.Parameter(weight) for weight in weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return selective_scan_2d(x, self.x_proj, self.dt_proj, self.dt_bias, self.A, self.D)


class SequenceScan(nn.Module):
    """A module that calls the scan along sequences, with and without its optional arguments."""

    def forward(
        self, u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor,
        D: torch.Tensor | None = None, bias: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        return selective_scan(u, delta, A, B, C, D, bias, delta_softplus=True)


@pytest.fixture
def map_scan(make_map_problem):
    x, *weights = make_map_problem(2, 6, 7, 20, 4, 3)
    return MapScan(weights), x


def test_a_scripted_module_gives_the_same_numbers_and_gradients(map_scan, make_problem, relative_error):
    module, x = map_scan
    scripted = torch.jit.script(module)
    assert not [node for node in scripted.inlined_graph.nodes() if node.kind().startswith("igtv::")]
    assert relative_error(scripted(x).detach(), module(x).detach()) <= 1e-6
    scripted_gradients, gradients = (
        torch.autograd.grad(function(x).square().sum(), list(module.parameters())) for function in (scripted, module)
    )
    assert max(relative_error(*pair) for pair in zip(scripted_gradients, gradients, strict=True)) <= 1e-5
    sequence = torch.jit.script(SequenceScan())
    problem = make_problem(2, 3, 5, 4, 33)
    assert relative_error(sequence(*problem), SequenceScan()(*problem)) <= 1e-6
    assert relative_error(sequence(*problem[:5]), SequenceScan()(*problem[:5])) <= 1e-6


def test_a_scripted_file_runs_without_this_package_at_any_size(map_scan, relative_error, tmp_path):
    module, _ = map_scan
    torch.jit.save(torch.jit.script(module), tmp_path / "scan.ts")
    maps = [torch.randn(size) for size in [(1, 1, 1, 20), (3, 5, 2, 20), (1, 40, 31, 20)]]
    torch.save([(x, module(x).detach()) for x in maps], tmp_path / "pairs.pt")
    code = """
import sys, torch
module = torch.jit.load(sys.argv[1] + "/scan.ts")
for x, y in torch.load(sys.argv[1] + "/pairs.pt"):
    with torch.no_grad():
        torch.testing.assert_close(module(x), y, rtol=1e-5, atol=1e-5)
assert not any(name.startswith("igtv") for name in sys.modules)
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_torch_compile_takes_the_whole_graph(make_map_problem, gradients_of, relative_error, backend):
    problem = make_map_problem(2, 4, 5, 20, 4, 2)
    grad_y = torch.randn(problem[0].shape)

    def model(*tensors):
        return selective_scan_2d(*tensors, backend=backend).sin()

    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    (y, gradients), (truth, true_gradients) = (gradients_of(f, problem, grad_y) for f in (compiled, model))
    assert relative_error(y, truth) <= 1e-6
    assert max(relative_error(*pair) for pair in zip(gradients, true_gradients, strict=True)) <= 1e-6


def test_the_operators_keep_pytorchs_rules(make_problem, make_map_problem):
    problem = [tensor.requires_grad_() for tensor in make_problem(2, 2, 5, 3, 6)]
    x, x_proj, *weights = make_map_problem(1, 3, 4, 5, 2, 2)
    map_problem = [tensor.detach().requires_grad_() for tensor in (x, project(x, x_proj), *weights)]
    assert numba_backend and torch_backend  # imported: their operators are registered
    rules = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.igtv.scan_torch.default, (*problem, True, True), test_utils=rules)
    torch.library.opcheck(torch.ops.igtv.scan_numba.default, (*problem, True, True), test_utils=rules)
    torch.library.opcheck(torch.ops.igtv.scan_2d_numba.default, (*map_problem, True), test_utils=rules)


@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
def test_under_autocast_the_scan_stays_in_fp32(make_map_problem, make_problem, relative_error, backend):
    x, *weights = make_map_problem(1, 4, 4, 16, 4, 2)
    weights = [weight.requires_grad_() for weight in weights]
    half = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = selective_scan_2d(half, *weights, backend=backend)
        assert selective_scan(*make_problem(1, 1, 2, 2, 3), backend=backend).dtype == torch.float32
    assert y.dtype == torch.float32
    truth = selective_scan_2d(half.detach().double(), *(w.double() for w in weights), backend="torch")
    assert relative_error(y.detach(), truth.detach()) <= 1e-6
    y.sum().backward()
    assert half.grad.dtype == torch.bfloat16 and all(weight.grad.dtype == torch.float32 for weight in weights)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_strided_inputs_and_frozen_parameters(make_map_problem, make_problem, relative_error, backend):
    x, *weights = make_map_problem(2, 5, 6, 20, 4, 2)
    strided = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    weights[1].requires_grad_()
    y = selective_scan_2d(strided, *weights, backend=backend)
    assert relative_error(y.detach(), selective_scan_2d(x, *weights, backend=backend).detach()) == 0
    y.permute(0, 3, 1, 2).square().sum().backward()
    assert weights[1].grad is not None and x.grad is None and weights[0].grad is None
    problem = make_problem(2, 2, 17, 4, 40)
    strided = [tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for tensor in problem]
    scan = partial(selective_scan, delta_softplus=True, backend=backend)
    assert relative_error(scan(*strided), scan(*problem)) == 0


@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_sequence_is_a_map_of_one_row(make_map_problem, relative_error, backend, directions):
    """The second direction is the scan of the reversed sequence with weights of its own, read backwards."""
    x, x_proj, dt_proj, bias, A, D = make_map_problem(2, 1, 11, 20, 4, 3, directions=directions)
    truth = torch.zeros(2, 20, 11)
    for k in range(directions):
        u = x[:, 0].mT if k == 0 else x[:, 0].mT.flip(-1)
        ranks, B, C = (x_proj[k] @ u).split([3, 4, 4], dim=1)
        own = slice(k * 20, (k + 1) * 20)
        y = selective_scan(u, dt_proj[k] @ ranks, A[own], B[:, None], C[:, None], D[own], bias[k], True, "reference")
        truth += y if k == 0 else y.flip(-1)
    y = selective_scan_2d(x, x_proj, dt_proj, bias, A, D, backend=backend)
    assert relative_error(y[:, 0].mT, truth) <= 1e-6
    if backend == "reference":
        scripted = torch.jit.script(MapScan([x_proj, dt_proj, bias, A, D]))
        assert relative_error(scripted(x)[:, 0].mT.detach(), truth) <= 1e-6


def test_inference_mode_and_deepcopy(map_scan):
    module, x = map_scan
    with torch.inference_mode():
        y = module(x)
    torch.testing.assert_close(copy.deepcopy(module)(x), y.clone(), rtol=0, atol=0)


def test_wrong_shapes_say_which(make_problem, make_map_problem):
    u, delta, A, B, C, D, bias = make_problem(1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"delta has shape \(1, 6, 4\), expected \(1, 6, 5\)"):
        selective_scan(u, delta[..., :4], A, B, C)
    with pytest.raises(ValueError, match="multiple of 4 groups"):
        selective_scan(u, delta, A, B.repeat(1, 2, 1, 1), C)
    with pytest.raises(ValueError, match=r"D has shape \(3,\)"):
        selective_scan(u, delta, A, B, C, D[:3], bias)
    with pytest.raises(ValueError, match="expected 3 .batch, D, L."):
        selective_scan(u[0], delta, A, B, C)
    x, x_proj, dt_proj, dt_bias, A, D = make_map_problem(1, 2, 2, 3, 2, 1)
    with pytest.raises(ValueError, match=r"x_proj_weight has shape \(4, 4, 3\), expected \(4, 5, 3\)"):
        selective_scan_2d(x, x_proj[:, :4], dt_proj, dt_bias, A, D)
    with pytest.raises(ValueError, match="3 directions K, expected one of"):
        selective_scan_2d(x, x_proj[:3], dt_proj[:3], dt_bias[:3], A[:9], D[:9])
    with pytest.raises(ValueError, match="H, W and D must be at least 1"):
        selective_scan_2d(x[:, :0], x_proj, dt_proj, dt_bias, A, D)
    with pytest.raises(ValueError, match=r"A has shape \(3, 2\)"):
        selective_scan_2d(x, x_proj, dt_proj, dt_bias, A[:3], D)
