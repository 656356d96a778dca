"""Several annotators at once: the real server under clients that infer and submit, with somebody watching `/info/`.

Run from the repository: `python tests/benchmarks/server_load.py` (4 clients, 2 minutes, on phantoms made for it).
Exit status 1 when a request failed, a label was lost, memory kept growing, or the median of `/info/` missed its aim.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import requests
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bundle"), str(ROOT / "label_app" / "tools")]

from igtv.phantom.dataset import simulate  # noqa: E402  (the path comes first)
from ports import free_port  # noqa: E402

PHANTOM = {"image_size": (56, 42, 24), "spacing_mm": (6.0, 6.0, 5.0), "pet_spacing_mm": (6.0, 6.0, 5.0)}
START_LIMIT_S, INFO_AIM_S, MAX_GROWTH = 300.0, 0.2, 1.3


class Load:
    """What the clients did and saw.

    Args:
        url: address of the server.
        seconds: how long they go on.
    """

    def __init__(self, url: str, seconds: float):
        self.url, self.until = url, time.monotonic() + seconds
        self.count: Counter = Counter()
        self.errors: list[str] = []
        self.times: dict[str, list[float]] = {"info": [], "infer": [], "submit": []}
        self.acknowledged: Counter = Counter()
        self.memory_mb: list[float] = []
        self.lock = threading.Lock()

    def ask(self, kind: str, method: str, path: str, **request) -> requests.Response | None:
        """One request, timed; None after an error. Busy (503) is waited for, as the server asks."""
        start = time.monotonic()
        try:
            answer = requests.request(method, self.url + path, timeout=300, **request)
        except requests.RequestException as error:
            answer, text = None, str(error)
        else:
            text = answer.text[:200] if answer.status_code != 200 else ""
        with self.lock:
            self.count[kind] += 1
            self.times[kind].append(time.monotonic() - start)
            if answer is not None and answer.status_code == 503 and "retry-after" in answer.headers:
                self.count["told to come back"] += 1
            elif answer is None or answer.status_code != 200:
                self.errors.append(f"{kind}: {text}")
        if answer is not None and answer.status_code == 503:
            time.sleep(min(5, int(answer.headers.get("retry-after", 1))))
        return answer if answer is not None and answer.status_code == 200 else None

    def annotate(self, name: str, cases: list[str], seed: int, folder: Path) -> None:
        """An annotator: ask for a mask, change it, submit it, next case."""
        choice = random.Random(seed)
        params = {"result_extension": ".nrrd", "result_dtype": "uint8", "client_id": name}
        while time.monotonic() < self.until:
            case = choice.choice(cases)
            form = {"params": json.dumps(params)}
            answer = self.ask("infer", "POST", f"/infer/igtv?image={case}&output=image", data=form)
            if answer is None:
                continue
            file = folder / f"{name}.nrrd"
            file.write_bytes(answer.content)
            mask = sitk.ReadImage(str(file))
            voxels = sitk.GetArrayFromImage(mask)
            position = tuple(choice.randrange(2, size - 2) for size in voxels.shape)
            voxels[tuple(slice(start - 1, start + 2) for start in position)] = 1
            edited = sitk.GetImageFromArray(voxels.astype(np.uint8))
            edited.CopyInformation(mask)
            sitk.WriteImage(edited, str(file))
            form = {"params": json.dumps({"label_info": [{"name": "igtv", "idx": 1}], "client_id": name})}
            with file.open("rb") as content:
                path = f"/datastore/label?image={case}&tag=final"
                if self.ask("submit", "PUT", path, data=form, files={"label": (file.name, content)}) is not None:
                    with self.lock:
                        self.acknowledged[case] += 1

    def watch(self, pid: int) -> None:
        """Ask `/info/` four times a second and note the memory of the server."""
        process = psutil.Process(pid)
        while time.monotonic() < self.until:
            self.ask("info", "GET", "/info/")
            self.memory_mb.append(process.memory_info().rss / 1e6)
            time.sleep(0.25)


def start_server(studies: Path, log: Path) -> tuple[subprocess.Popen, str]:
    """The server, answering and warm."""
    port = free_port()
    command = [sys.executable, "-m", "label_app", "--studies", str(studies), "--port", str(port), "--device", "cpu"]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=5).json().get("ready") and process.poll() is None:
                return process, url
        except requests.RequestException:
            pass
        time.sleep(0.5)
    process.kill()
    raise SystemExit(f"the server did not start:\n{log.read_text()[-3000:]}")


def lost_labels(studies: Path, acknowledged: Counter) -> list[str]:
    """Cases of which the store has not exactly the versions that were acknowledged."""
    trail = studies / "igtv" / "labels" / "audit.jsonl"
    entries = [json.loads(line) for line in trail.read_text().splitlines()]
    stored = Counter(entry["case"] for entry in entries if entry.get("outcome") == "accepted")
    history = studies / "igtv" / "labels" / "history"
    files = {case: len(list((history / case).glob("*.nii.gz"))) for case in acknowledged}
    return [
        f"{case}: {count} acknowledged, {stored[case]} in the audit trail, {files[case]} files"
        for case, count in acknowledged.items()
        if not count == stored[case] == files[case]
    ]


def report(load: Load, lost: list[str]) -> bool:
    """Print the figures; whether all is well."""
    print(", ".join(f"{name} {count}" for name, count in load.count.items()), f"; errors {len(load.errors)}")
    for kind, times in load.times.items():
        if times:
            slow = sorted(times)[int(0.95 * (len(times) - 1))]
            print(
                f"{kind}: median {statistics.median(times):.3f} s, 95 % below {slow:.3f} s, longest {max(times):.3f} s"
            )
    third = max(1, len(load.memory_mb) // 3)
    early, late = statistics.median(load.memory_mb[third : 2 * third]), statistics.median(load.memory_mb[-third:])
    print(f"memory of the server: {early:.0f} MB in the middle, {late:.0f} MB at the end")
    print(*load.errors[:10], *lost, sep="\n")
    median = statistics.median(load.times["info"])
    print(f"labels acknowledged {sum(load.acknowledged.values())}, lost {len(lost)}; median /info/ {median:.3f} s")
    return not load.errors and not lost and late < MAX_GROWTH * early and median < INFO_AIM_S


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--report-only", action="store_true", help="exit status 0 whatever was measured")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = folder / "studies"
        simulate(studies, task="gtv", num_cases=chosen.cases, num_folds=1, num_workers=0, progress=False, **PHANTOM)
        process, url = start_server(studies, folder / "server.log")
        try:
            cases = sorted(path.name for path in studies.iterdir() if (path / "ct.nii.gz").is_file())
            load = Load(url, chosen.seconds)
            threads = [
                threading.Thread(target=load.annotate, args=(f"annotator{n}", cases, n, folder))
                for n in range(chosen.clients)
            ]
            threads.append(threading.Thread(target=load.watch, args=(process.pid,)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            well = report(load, lost_labels(studies, load.acknowledged))
        finally:
            process.terminate()
            process.wait(60)
    return 0 if well or chosen.report_only else 1


if __name__ == "__main__":
    sys.exit(main())
