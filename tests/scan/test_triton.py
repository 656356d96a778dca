"""The Triton kernels in Triton's interpreter, on the CPU, against fp64."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from igtv.scan import selective_scan

# (batch, groups, channels per group, N, L), kind; the interpreter needs 0.1 ms per state and step.
CASES = [
    ((2, 3, 2, 5, 70), "trained"), ((1, 2, 3, 1, 129), "large_delta"), ((1, 1, 2, 16, 64), "negative_A"),
    ((1, 2, 2, 8, 1), "initial"), *(((1, 1, 1, *sizes), "long_memory") for sizes in [(1, 2048), (4, 512), (16, 130)]),
]  # fmt: skip
# In a process of its own: the interpreter must be asked for before Triton is imported.
SCRIPT = """
import json, sys, torch
from igtv.scan import selective_scan, selective_scan_2d
torch.set_num_threads(1)
results = []
for index, tensors in enumerate(torch.load(sys.argv[1])):
    def run(backend, dtype):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        y = (selective_scan_2d(*leaves, backend=backend) if tensors[0].ndim == 4
             else selective_scan(*leaves, delta_softplus=index > 0, backend=backend))
        weights = torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)
        return [y.detach(), *torch.autograd.grad(y, leaves, weights)]
    pairs = zip(run("triton", torch.float32), run("torch", torch.float64))
    results.append([((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() for a, b in pairs])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def errors(make_problem, make_map_problem, tmp_path_factory, bundle_dir, require):
    """Relative errors per case: y, then the gradients."""
    require("triton", find_spec("triton"))
    without_softplus = make_problem(1, 1, 3, 4, 65)
    without_softplus[1], without_softplus[6] = without_softplus[1].abs(), without_softplus[6].abs()
    problems = [without_softplus] + [make_problem(*sizes, kind) for sizes, kind in CASES]
    problems.append(make_map_problem(2, 3, 5, 3, 2, 1))
    path = tmp_path_factory.mktemp("triton") / "problems.pt"
    torch.save(problems, path)
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(bundle_dir)}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", range(len(CASES) + 2))
def test_triton_interpreted(errors, case):
    long_memory = 0 < case <= len(CASES) and CASES[case - 1][1] == "long_memory"
    assert errors[case][0] <= 1e-6
    assert max(errors[case][1:]) <= (5e-5 if long_memory else 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "sizes, kind",
    [
        ((2, 4, 24, 16, 1024), "trained"), ((1, 2, 5, 1, 129), "trained"), ((1, 4, 16, 4, 16384), "trained"),
        *(((1, 1, 32, states, 16384), "long_memory") for states in (1, 4, 16)),
    ],
    ids=str,
)  # fmt: skip
def test_triton_on_the_gpu(make_problem, gradients_of, relative_error, sizes, kind):
    problem = [tensor.cuda() for tensor in make_problem(*sizes, kind)]
    grad_y = torch.randn(problem[0].shape, device="cuda")

    def run(backend, tensors):
        return gradients_of(lambda *t: selective_scan(*t, delta_softplus=True, backend=backend), tensors, grad_y)

    (y, gradients), (truth, true_gradients) = run("triton", problem), run("torch", [t.double() for t in problem])
    assert relative_error(y, truth) <= 1e-6
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert relative_error(gradient, true_gradient) <= (5e-5 if kind == "long_memory" else 1e-5)
