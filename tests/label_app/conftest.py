"""The app's package `lib` on the path, as MONAI Label puts it there, and small cases to serve."""

import contextlib
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


@pytest.fixture(scope="session")
def tools_dir() -> Path:
    """Folder of programs for trials: a PACS, a browser; on the path."""
    folder = LABEL_APP / "tools"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


@pytest.fixture(scope="session")
def start_orthanc(tools_dir, require_programs):
    """Function that starts a PACS with the DICOM files of a folder; skips where there is none, fails with CI=true."""
    from orthanc import Orthanc, missing_programs

    require_programs(missing_programs())
    with contextlib.ExitStack() as running:

        def start(folder: Path | None = None):
            pacs = running.enter_context(Orthanc())
            if folder is not None:
                pacs.fill(folder)
            return pacs

        yield start


@pytest.fixture(scope="session")
def require_programs():
    """Function that skips a test when programs are missing, and fails it with CI=true."""

    def require(missing: list[str]) -> None:
        if missing and os.environ.get("CI") == "true":
            pytest.fail(f"{', '.join(missing)} missing (Debian packages), and CI=true says they must be there")
        if missing:
            pytest.skip(f"{', '.join(missing)} missing (Debian packages)")

    return require
