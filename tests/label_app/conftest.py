"""The app's package `lib` on the path, as MONAI Label puts it there, and small cases to serve."""

import os
import sys
from pathlib import Path

LABEL_APP = Path(__file__).resolve().parents[2] / "label_app"
sys.path.insert(0, str(LABEL_APP))
# one copy of `lib` for the tests and the app they make; the server as a process is tested with MONAI Label's purge
os.environ["MONAI_LABEL_RELOAD_APP_LIB"] = "false"

import pytest  # noqa: E402  (the path comes first)


@pytest.fixture(scope="session")
def label_app_dir() -> Path:
    """Folder of the app."""
    return LABEL_APP
