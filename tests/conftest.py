"""Shared fixtures: the package on the path, the folder of real data, few threads."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundle"
sys.path.insert(0, str(BUNDLE))
# threads that wait for work must not take the processor from those that have some; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402  (the path comes first)

# the same examples in every run, and no verdict that hangs on how busy the machine is
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_configure(config):
    """Two threads, or one where the tests run side by side (`pytest -n`) on that few processors."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    torch.set_num_threads(max(1, min(2, (os.cpu_count() or 1) // workers)))


def pytest_collection_modifyitems(config, items):
    """Leave `slow` tests out unless the command line asks for them; skip `gpu` ones without a device."""
    wants_slow = "slow" in (config.getoption("-m") or "")
    for item in items:
        if "slow" in item.keywords and not wants_slow:
            item.add_marker(pytest.mark.skip(reason="slow: run by hand with -m slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def require():
    """`require(what, found)` gives `found` back; what is missing is a skip that says so, with CI=true a failure."""

    def check(what: str, found):
        if not found and os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing, and CI=true says it must be there")
        if not found:
            pytest.skip(f"{what} is missing")
        return found

    return check


@pytest.fixture(scope="session")
def project_dir() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    return BUNDLE


@pytest.fixture(scope="session")
def shared_dir(require) -> Path:
    """Folder of the real data and reference material that lies beside the repository."""
    folder = ROOT.parent / "shared"
    require("../shared (real test data)", folder.is_dir())
    return folder


@pytest.fixture(scope="session")
def one_thread():
    """Threads of torch that wait for each other cost more than they bring on small patches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def simulate_coarsely():
    """`simulate_coarsely(folder, task, cases, folds)`: phantoms of a fifth of a second each, one network step large."""
    from igtv.phantom.dataset import simulate

    voxels = {"image_size": (56, 42, 24), "spacing_mm": (6.0, 6.0, 5.0), "pet_spacing_mm": (6.0, 6.0, 5.0)}

    def make(folder: Path, task: str, cases: int, folds: int) -> Path:
        simulate(folder, task=task, num_cases=cases, num_folds=folds, num_workers=0, progress=False, **voxels)
        return folder

    return make


@pytest.fixture(scope="session")
def coarse_training() -> dict:
    """Settings of a training of seconds on such phantoms."""
    return {
        "spacing_mm": [6.0, 6.0, 5.0],
        "patch_size": [64, 64],
        "num_slices": 3,
        "epochs": 2,
        "samples_per_epoch": 2,
        "batch_size": 1,
        "val_interval": 1,
        "num_workers": 0,
        "device": "cpu",
    }
