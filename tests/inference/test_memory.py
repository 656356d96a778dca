"""The network's part of whole-volume inference needs the same memory for 40 and for 400 slices."""

import subprocess
import sys
from pathlib import Path

import pytest

M_MMAP_THRESHOLD = -3  # of mallopt(3)
MEASURE = f"""
import ctypes
import torch
from igtv.inference.whole_volume import WholeVolumeInferer
from igtv.networks.igtv_network import IGTVNetwork

def status_mb(field):
    line = next(line for line in open("/proc/self/status") if line.startswith(field))
    return int(line.split()[1]) / 1024

def peak_mb(slices):
    volume = torch.randn(1, 2, 128, 128, slices)
    libc.malloc_trim(0)  # what the allocator keeps from before is not the network's
    before_mb = status_mb("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
    logits = inferer(volume, network)
    return status_mb("VmHWM") - before_mb - logits.nbytes / 2**20

torch.set_num_threads(1)
torch.manual_seed(0)
network = IGTVNetwork("nano").eval()
inferer = WholeVolumeInferer()
libc = ctypes.CDLL("libc.so.6")
# large blocks go back to the system when freed: the peak is what is in use, not what fragments
libc.mallopt({M_MMAP_THRESHOLD}, 262144)
inferer(torch.randn(1, 2, 128, 128, 36), network)  # kernels compiled, pools filled
print(peak_mb(40), peak_mb(400))
"""


def peaks_mb(bundle_dir: Path) -> list[float]:
    """Peak resident memory of 40 and of 400 slices above what was there before, without the output array."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env={"PYTHONPATH": str(bundle_dir), "PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(word) for word in done.stdout.split()[-2:]]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux' /proc")
def test_peak_memory_of_the_network_does_not_grow_with_the_number_of_slices(bundle_dir):
    few, many = peaks_mb(bundle_dir)
    assert abs(many - few) < 0.1 * max(few, many), f"{few:.1f} MB for 40 slices, {many:.1f} MB for 400"
