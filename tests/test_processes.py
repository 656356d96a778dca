"""How many processes share out work, and how they start."""

import os
import subprocess
import sys

import pytest
from igtv.phantom.making import in_parallel
from igtv.processes import worker_count
from igtv.study.units import UnitRunner


def test_only_processors_that_may_be_used_count(monkeypatch, tmp_path):
    """A container or a scheduler gives a process less than the machine has."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    assert worker_count(None) == UnitRunner(tmp_path, device="cpu").num_parallel == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert worker_count(None) == UnitRunner(tmp_path, device="cpu").num_parallel == 64
    assert [worker_count(number) for number in (0, 5)] == [0, 5]


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
