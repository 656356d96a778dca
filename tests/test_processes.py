"""How many processes share out work, and how they start."""

import io
import os
import subprocess
import sys

import pytest
import torch
from igtv.phantom.making import in_parallel
from igtv.processes import bound_threads, worker_count
from igtv.study.units import UnitRunner
from joblib.externals.loky.backend import context


@pytest.fixture
def quota(monkeypatch):
    """Gives a machine of 64 processors a container's quota, which Linux keeps in a file."""

    def give(content):
        files = {"/sys/fs/cgroup/cpu.max": content}
        monkeypatch.setattr(context.os.path, "exists", files.__contains__)
        monkeypatch.setattr(context, "open", lambda path: io.StringIO(files[path]), raising=False)

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return give


def test_only_processors_that_may_be_used_count(quota, monkeypatch, tmp_path):
    """A container or a scheduler gives a process less than the machine has."""
    quota("max 100000")
    assert worker_count(None) == UnitRunner(tmp_path, device="cpu").num_parallel == 64
    quota("250000 100000")  # docker run --cpus 2.5
    assert worker_count(None) == UnitRunner(tmp_path, device="cpu").num_parallel == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5})
    assert worker_count(None) == UnitRunner(tmp_path, device="cpu").num_parallel == 2
    assert [worker_count(number) for number in (0, 5)] == [0, 5]


def test_threads_of_pytorch_keep_to_the_quota(quota, monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    quota("max 100000")
    bound_threads()
    assert set_to == []
    quota("400000 100000")
    bound_threads()
    assert set_to == [4]


@pytest.mark.parametrize("number", [-1, True, "2", 1.0])
def test_a_wrong_number_is_named(number):
    with pytest.raises(ValueError, match=f"num_workers is {number!r}: a whole number from 0"):
        worker_count(number)


def test_processes_of_a_phantom_are_no_forks_of_this_one():
    """A fork inherits the locks that threads of this process hold, and nobody opens them."""
    parents = in_parallel(os.getppid, [()] * 4, 2, "asking", progress=False)
    assert len(parents) == 4 and os.getpid() not in parents


def test_processes_end_with_the_one_they_work_for(bundle_dir, tmp_path):
    """Killed, it cannot tell them; they hold its output open as long as they live."""
    script = tmp_path / "work.py"
    script.write_text(
        "import os, time\n"
        "from igtv.processes import process_pool\n"
        "if __name__ == '__main__':\n"
        "    with process_pool(1) as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(bundle_dir)}, stdout=subprocess.PIPE, text=True
    )
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    process.communicate(timeout=60)
