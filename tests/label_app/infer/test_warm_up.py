"""What the first request after the warm-up need not do any more: structure, in a fresh process, and no seconds."""

import json
import os
import subprocess
import sys

# arguments: folder of the app, studies, data folder; prints one object of JSON
FIRST_REQUEST = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
app = importlib.import_module("main").IgtvApp(sys.argv[1], sys.argv[2], {"device": "cpu", "data_dir": sys.argv[3]})

def state():
    from igtv.scan.numba_kernels_2d import forward_2d
    compiled = sorted(map(str, forward_2d.signatures))
    packages = {name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names}
    return compiled, packages, list(app.proposals.segmenter._models)

at_start = state()
app.warm_up()
warm = state()
answer = app.infer({"model": "igtv", "image": "RAS", "result_extension": ".nrrd", "result_dtype": "uint8"})
after = state()
print(json.dumps({
    "at start": [at_start[0], len(at_start[2])],
    "weights": warm[2] == after[2] and len(warm[2]),
    "compiled": len(warm[0]),
    "compiled later": warm[0] != after[0],
    "imported later": sorted(after[1] - warm[1]),
    "answer": answer["params"]["grid"],
}))
"""


def test_the_first_request_loads_compiles_and_imports_nothing(studies_made, label_app_dir, bundle_dir, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(bundle_dir), "OMP_NUM_THREADS": "1", "IGTV_SCAN_BACKEND": "numba"}
    command = [sys.executable, "-c", FIRST_REQUEST, str(label_app_dir), str(studies_made), str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert seen["at start"] == [[], 0]  # it is the warm-up that does it
    # both models; the network's scans are all of one kernel
    assert seen["weights"] == 2 and seen["compiled"] == 1
    assert not seen["compiled later"] and seen["imported later"] == []
    assert seen["answer"] == "ct"
