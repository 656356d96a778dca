"""Labels that clients submit to the real server: killed without a word, and on a disk that is full."""

import contextlib
import json
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from igtv.files import file_sha256
from lib.labels.audit_trail import AuditTrail

from ..waiting import wait_for
from .conftest import TRAINING_PATIENTS

CLIENTS, ENOUGH = 4, 12
DISK_MB = 40  # two registries with the shipped weights, and some room


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Path | None:
    """A small disk of its own for the data folder, where this computer lets us mount one."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(mount, check=True, capture_output=True, timeout=30)
    yield folder if folder.is_mount() else None
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


@pytest.fixture(scope="module")
def data_dir(disk, tmp_path_factory) -> Path:
    return (disk or tmp_path_factory.mktemp("store")) / "data"


@pytest.fixture(scope="module")
def server(server_process, patients, data_dir):
    options = ("--data_dir", data_dir, "--device", "cpu", "--conf", "warm_up", "false")
    server = server_process(patients / "studies", *options, name="submissions").start()
    yield server
    server.kill()


def mask_of(patients: Path, number: int) -> tuple[str, np.ndarray]:
    """The case of submission `number`, and voxels (z, y, x) that only this one has."""
    case = TRAINING_PATIENTS[number % len(TRAINING_PATIENTS)]
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(patients / "labels" / f"{case}.nii.gz")))
    voxels[:2].reshape(-1)[:64] = [number >> bit & 1 for bit in range(64)]
    return case, voxels


def submit(url: str, patients: Path, number: int) -> requests.Response:
    """Submission `number`, as raw voxels, under its number as comment."""
    case, voxels = mask_of(patients, number)
    params = {"label_info": [{"name": "igtv", "idx": 1}], "comment": f"submission {number}"}
    return requests.put(
        f"{url}/datastore/label?image={case}&tag=final",
        data={"params": json.dumps(params)},
        files={"label": ("label.bin", voxels.tobytes())},
        timeout=60,
    )


@pytest.fixture(scope="module")
def acknowledged(server, patients) -> list[int]:
    """Submissions of several clients at once that were answered with 200 before the server was killed among them."""
    numbers, answered, other, gone = iter(range(100_000)), [], [], threading.Event()
    lock = threading.Lock()

    def annotate():
        while not gone.is_set():
            with lock:
                number = next(numbers)
            try:
                answer = submit(server.url, patients, number)
            except requests.RequestException:
                return
            if answer.status_code == 200:
                answered.append(number)
            else:
                other.append(answer.text)

    threads = [threading.Thread(target=annotate) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answered) >= ENOUGH, 120, "labels")
    finally:
        server.kill()
        gone.set()
        for thread in threads:
            thread.join(60)
    assert other == []
    server.start()
    return sorted(answered)


def accepted_events(data_dir: Path) -> dict[int, dict]:
    """Events of the audit trail by the number of the submission; each is there once."""
    events = [json.loads(line) for line in (data_dir / "labels" / "audit.jsonl").read_text().splitlines() if line]
    accepted = [event for event in events if event.get("outcome") == "accepted"]
    found = {int(event["comment"].split()[1]): event for event in accepted}
    assert len(found) == len(accepted)
    return found


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server, acknowledged, patients, data_dir, tmp_path):
    history = data_dir / "labels" / "history"
    assert len(acknowledged) >= ENOUGH and set(acknowledged) <= set(accepted_events(data_dir))
    for number, event in accepted_events(data_dir).items():
        case, voxels = mask_of(patients, number)
        stored = history / case / event["file"]
        assert event["case"] == case and file_sha256(stored) == event["sha256"]
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(stored))), voxels)
    # what was stored whole and not answered any more is entered at the start; nothing is half there
    entered = AuditTrail(data_dir / "labels" / "audit.jsonl").read()[0]
    files = {(event["case"], event["file"]) for event in entered if event.get("outcome") in ("accepted", "recovered")}
    assert {(path.parent.name, path.name) for path in history.glob("*/*")} == files
    assert AuditTrail(data_dir / "labels" / "audit.jsonl").broken_links() == []
    assert not list(data_dir.rglob(".writing-*")) and list((data_dir / "temporary").iterdir()) == []
    # and the server hands out the newest version of every case
    client = server.client(tmp_path / "client")
    assert client.info()["datastore"]["completed"] == len(TRAINING_PATIENTS)
    for case in TRAINING_PATIENTS:
        newest = max((path for path in (history / case).iterdir()), key=lambda path: path.name)
        assert Path(client.download_label(case, "final")).read_bytes() == newest.read_bytes()


def test_a_full_disk_is_said_and_loses_nothing(server, acknowledged, patients, data_dir, disk):
    if disk is None:
        pytest.skip("no disk can be mounted here; tests/label_app/server/test_full_disk.py has it without one")
    before = (data_dir / "labels" / "audit.jsonl").read_bytes()
    first = submit(server.url, patients, 200_000)
    assert first.status_code == 200
    filled = disk / "filled"
    with contextlib.suppress(OSError), filled.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    stored = (data_dir / "labels" / "audit.jsonl").read_bytes()
    refused = submit(server.url, patients, 200_001)
    assert refused.status_code == 507 and "disk is full" in refused.json()["detail"]
    large = {"label": ("label.bin", bytes(3 * 2**20))}  # does not even fit while it is received
    answer = requests.put(f"{server.url}/datastore/label?image=STS_042", files=large, timeout=60)
    assert answer.status_code == 507 and "disk is full" in answer.json()["detail"]
    params = {"params": json.dumps({"result_extension": ".nrrd"})}
    answer = requests.post(f"{server.url}/infer/igtv?image=STS_042", data=params, timeout=120)
    assert answer.status_code == 507 and "disk is full" in answer.json()["detail"]
    assert requests.get(f"{server.url}/info/", timeout=60).status_code == 200
    assert (data_dir / "labels" / "audit.jsonl").read_bytes() == stored and stored.startswith(before)
    assert list((data_dir / "temporary").iterdir()) == [] and not list(data_dir.rglob(".writing-*"))
    filled.unlink()
    assert submit(server.url, patients, 200_002).status_code == 200
    assert {200_000, 200_002, *acknowledged} <= set(accepted_events(data_dir))
    assert 200_001 not in accepted_events(data_dir)
    assert server.stop()
