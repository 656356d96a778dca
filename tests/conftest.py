"""Shared fixtures: the package on the path, the folder of real data, few threads."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundle"
sys.path.insert(0, str(BUNDLE))
# threads that wait for work must not take the processor from those that have some; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402  (the path comes first)


def pytest_configure(config):
    torch.set_num_threads(min(2, os.cpu_count() or 1))


def pytest_collection_modifyitems(config, items):
    """Leave `slow` tests out unless the command line asks for them; skip `gpu` ones without a device."""
    wants_slow = "slow" in (config.getoption("-m") or "")
    for item in items:
        if "slow" in item.keywords and not wants_slow:
            item.add_marker(pytest.mark.skip(reason="slow: run by hand with -m slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _missing(what: str):
    """With CI=true something missing is a failure, elsewhere a skip that says what is missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI=true says it must be there")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def project_dir() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    return BUNDLE


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of the real data and reference material that lies beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        _missing("../shared (real test data)")
    return folder
