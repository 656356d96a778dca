"""A lock keeps other processes out, and is gone with the process that holds it."""

import os
import subprocess
import sys

import pytest
from igtv.dicom.import_dataset import import_dataset
from igtv.locks import locked


@pytest.fixture
def holder(bundle_dir, tmp_path):
    """A process that holds the lock of `tmp_path / "data"` until it is killed."""
    path = tmp_path / "data" / ".import.lock"
    code = f"""
import time
from igtv.locks import locked
with locked({str(path)!r}):
    print(1, flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(bundle_dir)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_ends_with_the_process_that_held_it(holder, tmp_path):
    path = tmp_path / "data" / ".import.lock"
    for wait_s in (0, 0.2):
        with pytest.raises(BlockingIOError), locked(path, wait_s):
            pass
    holder.kill()
    holder.wait()
    for wait_s in (0, None):
        with locked(path, wait_s):
            assert path.is_file()


def test_an_import_does_not_start_beside_another(holder, tmp_path):
    (tmp_path / "dicom").mkdir()
    with pytest.raises(FileExistsError, match="another import into .*data is running: wait for its end"):
        import_dataset(tmp_path / "dicom", tmp_path / "data")
