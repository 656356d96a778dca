"""Page faults of a process that asks for the same large memory again and again."""

import subprocess
import sys

import pytest

PAGES = 16 * 2**20 // 4096
CODE = f"""
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from igtv.training.allocator import keep_freed_memory
if sys.argv[2] == "keep":
    assert keep_freed_memory()
np.ones({PAGES * 4096}, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones({PAGES * 4096}, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_that_was_freed_is_used_again_without_page_faults(bundle_dir):
    def faults(how: str) -> int:
        command = [sys.executable, "-c", CODE, str(bundle_dir), how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return int(done.stdout)

    assert faults("keep") < PAGES / 10
    assert faults("as it is") > PAGES / 10  # huge pages or not: every round maps the memory anew
