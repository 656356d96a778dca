"""The network's part of whole-volume inference needs the same memory for 40 and for 400 slices."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
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
inferer(torch.randn(1, 2, 128, 128, 12), network)  # kernels compiled, pools filled
volume = torch.randn(1, 2, 128, 128, int(sys.argv[1]))
before_mb = status_mb("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
logits = inferer(volume, network)
print(status_mb("VmHWM") - before_mb - logits.nbytes / 2**20)
"""


def peak_mb(slices: int, bundle_dir: Path) -> float:
    """Peak resident memory of the call above what was there before, without the output array."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(slices)],
        env={"PYTHONPATH": str(bundle_dir), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux' /proc")
def test_peak_memory_of_the_network_does_not_grow_with_the_number_of_slices(bundle_dir):
    few, many = peak_mb(40, bundle_dir), peak_mb(400, bundle_dir)
    # the plain measure, and a floor for what the allocator keeps, which varies by a few MB from run to run
    assert abs(many - few) < max(0.1 * max(few, many), 8.0), f"{few:.1f} MB for 40 slices, {many:.1f} MB for 400"
