"""The network's part of whole-volume inference needs the same memory for 40 and for 400 slices."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import ctypes
import sys
import torch
from igtv.inference.whole_volume import WholeVolumeInferer
from igtv.networks.igtv_network import IGTVNetwork

def status_mb(field):
    line = next(line for line in open("/proc/self/status") if line.startswith(field))
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
torch.manual_seed(0)
network = IGTVNetwork("nano").eval()
inferer = WholeVolumeInferer()
inferer(torch.randn(1, 2, 128, 128, 36), network)  # kernels compiled, pools filled
volume = torch.randn(1, 2, 128, 128, int(sys.argv[1]))
ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the allocator keeps from before is not the network's
before_mb = status_mb("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
logits = inferer(volume, network)
print(status_mb("VmHWM") - before_mb - logits.nbytes / 2**20)
"""


def peak_mb(slices: int, bundle_dir: Path) -> float:
    """Peak resident memory of the call above what was there before, without the output array."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(slices)],
        env={
            "PYTHONPATH": str(bundle_dir),
            "PATH": "/usr/bin:/bin",
            "HOME": str(Path.home()),
            "OMP_NUM_THREADS": "1",
            # large blocks go back to the system when freed: the peak is what is in use, not what fragments
            "MALLOC_MMAP_THRESHOLD_": "262144",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux' /proc")
def test_peak_memory_of_the_network_does_not_grow_with_the_number_of_slices(bundle_dir):
    few, many = peak_mb(40, bundle_dir), peak_mb(400, bundle_dir)
    assert abs(many - few) < 0.1 * max(few, many), f"{few:.1f} MB for 40 slices, {many:.1f} MB for 400"
