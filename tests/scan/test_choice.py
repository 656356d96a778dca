"""Which back end is used, what is said about it, and what happens when packages are missing or broken."""

import logging
import os
import subprocess
import sys

import pytest
import torch
from igtv.scan import backend_report, backends, selective_scan, set_backend

ONES = (torch.ones(1, 1, 2), torch.ones(1, 1, 2), -torch.ones(1, 1), torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))


def test_automatic_choice_and_report():
    assert backend_report()["chosen"]["cpu"] == "numba"
    assert backend_report()["forced"] is None
    assert backends._automatic("cpu", torch.float64) == "torch"
    assert backends._automatic("meta", torch.float32) == "torch"


def test_a_name_can_be_forced_by_argument_function_and_environment(monkeypatch):
    monkeypatch.setenv("IGTV_SCAN_BACKEND", "reference")
    assert backends.backend_for("cpu", torch.float32).__name__ == "igtv.scan.reference"
    assert backend_report()["chosen"]["cpu"] == backend_report()["forced"] == "reference"
    set_backend("torch")
    assert backends.backend_for("cpu", torch.float32).__name__ == "igtv.scan.torch_backend"
    assert backends.backend_for("cpu", torch.float32, "numba").__name__ == "igtv.scan.numba_backend"
    set_backend("auto")
    assert backends.backend_for("cpu", torch.float32).__name__ == "igtv.scan.reference"


def test_wrong_names_say_what_to_do(monkeypatch):
    with pytest.raises(ValueError, match="'fast' is unknown, use auto or one of reference, torch, numba, triton"):
        set_backend("fast")
    monkeypatch.setenv("IGTV_SCAN_BACKEND", "cuda")
    with pytest.raises(ValueError, match="'cuda' is unknown"):
        selective_scan(*ONES)
    with pytest.raises(ValueError, match="computes on cuda, but the tensors are on cpu"):
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        backends._choose("cpu", torch.float32, "triton")


def _automatic_on_cuda(monkeypatch, caplog, not_working):
    monkeypatch.setattr(backends, "_trial", lambda name, device: "no such thing" if name in not_working else "")
    with caplog.at_level(logging.INFO, logger="igtv.scan.backends"):
        name = backends._automatic.__wrapped__("cuda", torch.float32)
    return name, caplog.records[-1]


def test_cuda_prefers_mamba_ssm_then_triton_then_torch(monkeypatch, caplog):
    assert _automatic_on_cuda(monkeypatch, caplog, ())[0] == "mamba_ssm"
    name, record = _automatic_on_cuda(monkeypatch, caplog, ("mamba_ssm",))
    assert name == "triton" and record.levelno == logging.INFO
    assert "mamba_ssm is not usable (no such thing), to get it: pip install mamba-ssm" in record.message
    name, record = _automatic_on_cuda(monkeypatch, caplog, ("mamba_ssm", "triton"))
    assert name == "torch" and record.levelno == logging.WARNING
    assert "back end torch" in record.message and "triton is not usable" in record.message


def test_a_backend_that_imports_but_fails_is_not_chosen(monkeypatch):
    def fail(*arguments):
        raise OSError("no compiler\nat all")

    class Broken:
        selective_scan_2d = staticmethod(fail)

    monkeypatch.setattr(backends, "load_backend", lambda name: (Broken, ""))
    assert backends._trial.__wrapped__("numba", "cpu") == "OSError: no compiler"


def _run(code, bundle_dir, *extra_paths, **environment):
    paths = os.pathsep.join(map(str, (bundle_dir, *extra_paths)))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": paths} | environment, timeout=300,
    )  # fmt: skip


def test_without_numba_and_triton_everything_still_works(bundle_dir):
    code = """
import sys, logging
logging.basicConfig(level=logging.INFO)
sys.modules["numba"] = sys.modules["triton"] = None
import torch
from igtv.scan import backend_report, selective_scan, selective_scan_2d, set_backend
x = torch.ones(1, 2, 2, 3)
for _ in range(2):
    selective_scan_2d(x, torch.ones(4, 5, 3), torch.ones(4, 3, 1), torch.ones(4, 3), -torch.ones(12, 2), torch.ones(12))
report = backend_report()
assert report["chosen"]["cpu"] == "torch", report
assert "numba" in report["unavailable"]["numba"] and "triton" in report["unavailable"]["triton"]
try:
    set_backend("numba")
except ValueError as error:
    assert "pip install numba" in str(error)
else:
    raise AssertionError
"""
    done = _run(code, bundle_dir)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "selective scan" in line]
    assert len(lines) == 1 and lines[0].startswith("WARNING") and "pip install numba" in lines[0]


def test_a_mamba_ssm_that_breaks_at_import_is_passed_over(bundle_dir, tmp_path):
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text('raise OSError("libcudart.so.11.0: cannot open\\nmore")')
    code = """
from igtv.scan import backend_report
print(backend_report()["unavailable"]["mamba_ssm"])
"""
    done = _run(code, bundle_dir, tmp_path)
    assert done.stdout.strip() == "OSError: libcudart.so.11.0: cannot open", done.stderr


def test_mamba_ssm_gets_what_its_function_expects(bundle_dir, tmp_path):
    """A stand-in with the package's interface, computing by mamba-ssm's published formula."""
    package = tmp_path / "mamba_ssm" / "ops"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "selective_scan_interface.py").write_text("""
import torch
def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    assert all(t.is_contiguous() and t.dtype == torch.float32 for t in (u, delta, A, B, C, D, delta_bias))
    delta = torch.nn.functional.softplus(delta + delta_bias[:, None])
    B, C = (t.repeat_interleave(u.shape[1] // t.shape[1], 1) for t in (B, C))
    state, out = 0, []
    for t in range(u.shape[2]):
        decay = torch.exp(torch.einsum("bd,dn->bdn", delta[..., t], A))
        state = decay * state + torch.einsum("bd,bdn,bd->bdn", delta[..., t], B[..., t], u[..., t])
        out.append(torch.einsum("bdn,bdn->bd", state, C[..., t]))
    return torch.stack(out, -1) + D[:, None] * u
""")
    code = """
import torch
from igtv.scan import mamba_backend, selective_scan_2d
for seed in range(10):
    torch.manual_seed(seed)
    tensors = [torch.randn(1, 3, 4, 6), torch.randn(4, 6, 6), torch.randn(4, 6, 2), torch.randn(4, 6),
               -torch.rand(24, 2), torch.randn(24)]
    expected = selective_scan_2d(*tensors, backend="torch")
    error = (mamba_backend.selective_scan_2d(*tensors) - expected).abs().max() / expected.abs().max()
    assert error < 2e-6, (seed, error)  # both are within 1e-6 of fp64, see the agreement tests
"""
    done = _run(code, bundle_dir, tmp_path)
    assert done.returncode == 0, done.stderr


def test_without_a_writable_cache_folder_the_kernels_compile_in_memory(bundle_dir, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    code = """
from igtv.scan.numba_compile import kernel
@kernel
def double(x):
    return 2 * x
assert double(21) == 42
"""
    done = _run(code, bundle_dir, NUMBA_CACHE_DIR=str(blocked / "below"))
    assert done.returncode == 0, done.stderr
