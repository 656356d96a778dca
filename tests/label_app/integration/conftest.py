"""The server as a process of its own, started either way, and small folders of real patients for it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
import SimpleITK as sitk
from monailabel.client import MONAILabelClient

from ..waiting import wait_for

START_LIMIT_S = float(os.environ.get("IGTV_TEST_START_LIMIT_S", 180))
TRAINING_PATIENTS = ("STS_002", "STS_012", "STS_042")
PATIENTS_KEPT_APART = ("STS_010", "STS_026")


@dataclass
class ServerProcess:
    """A running server.

    Attributes:
        command: how it was started.
        url: its address.
        log: file of its output.
    """

    command: list[str]
    url: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def start(self) -> "ServerProcess":
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        try:
            wait_for(self.answers, START_LIMIT_S, "an answer of the server")
        except pytest.fail.Exception as failed:
            self.kill()
            pytest.fail(f"{failed}:\n{self.tail()}")
        return self

    def answers(self) -> bool:
        """Whether it answers, it and no other program at its port; fails where it has ended."""
        if self.process.poll() is not None:
            pytest.fail(f"the server ended with {self.process.returncode}")
        port = int(self.url.rpartition(":")[2])
        try:
            sockets = psutil.Process(self.process.pid).net_connections("tcp")
            listens = any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)
            return listens and requests.get(f"{self.url}/auth/", timeout=2).status_code in (200, 403)
        except (requests.RequestException, psutil.Error):
            return False

    def client(self, folder: Path, name: str = "anna") -> MONAILabelClient:
        """MONAI Label's own client."""
        folder.mkdir(parents=True, exist_ok=True)
        return MONAILabelClient(self.url, str(folder), name)

    def children(self) -> list[psutil.Process]:
        """Processes that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> bool:
        """Ask it to end; whether it did so in order: on request, or by the same signal once it had shut down."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60) in (0, -signal.SIGTERM)

    def kill(self) -> None:
        """End it without asking."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def tail(self) -> str:
        """End of its output."""
        return self.log.read_text(errors="replace")[-5000:]


@pytest.fixture(scope="session")
def server_process(label_app_dir, bundle_dir, tools_dir, tmp_path_factory):
    """`server_process(studies, *options, stock=False, environment={}, name="...")` -> a `ServerProcess`, not started.

    Whatever is still running at the end is killed.
    """
    from ports import free_port

    made = []

    def make(studies, *options: str, stock: bool = False, environment: dict | None = None, name: str = "server"):
        port = free_port()
        if stock:
            command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(label_app_dir)]
            command += ["--host", "127.0.0.1"]
        else:
            command = [sys.executable, "-m", "label_app"]
        command += ["--studies", str(studies), "--port", str(port), *map(str, options)]
        log = tmp_path_factory.mktemp("log") / f"{name}.txt"
        # `label_app` is found in the project's folder; nothing outside it may be needed
        first = (environment or {}).get("FIRST_PATH", "")  # before everything else that Python finds
        paths = os.pathsep.join(filter(None, [first, str(label_app_dir.parent), str(bundle_dir)]))
        settings = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "IGTV_PASSWORD": ""}
        settings["MONAI_LABEL_RELOAD_APP_LIB"] = "true"  # as it is outside of tests
        server = ServerProcess(command, f"http://127.0.0.1:{port}", log, {**settings, **(environment or {})})
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


def shrink(source: Path, target: Path, factor: int = 2) -> None:
    """Every `factor`-th voxel in plane: a real patient that a test can afford."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.ReadImage(str(source))[::factor, ::factor, :], str(target))


@pytest.fixture(scope="session")
def patients(shared_dir, tmp_path_factory) -> Path:
    """Real patients as `importing` leaves them (CT and PET in a folder each, a datalist), and two more kept apart.

    `studies/` is for the server, `labels/<id>.nii.gz` are their true labels, `frozen/dataset.json` the others.
    """
    root = tmp_path_factory.mktemp("patients")
    source = shared_dir / "data" / "petct_gtv"
    items = []
    for patient in TRAINING_PATIENTS:
        for modality in ("ct", "pet"):
            shrink(source / patient / f"{modality}.nii.gz", root / "studies" / patient / f"{modality}.nii.gz")
        shrink(source / patient / "gtv.nii.gz", root / "labels" / f"{patient}.nii.gz")
        items.append({"patient_id": patient, "ct": f"{patient}/ct.nii.gz", "pet": f"{patient}/pet.nii.gz"})
    (root / "studies" / "dataset.json").write_text(json.dumps({"training": items}))
    frozen = []
    for patient in PATIENTS_KEPT_APART:
        item = {"patient_id": patient}
        for key, name in (("ct", "ct"), ("pet", "pet"), ("label", "gtv")):
            item[key] = f"{patient}/{key}.nii.gz"
            shrink(source / patient / f"{name}.nii.gz", root / "frozen" / item[key])
        frozen.append(item)
    (root / "frozen" / "dataset.json").write_text(json.dumps({"validation": frozen}))
    return root


@pytest.fixture
def own_studies(patients, tmp_path) -> Path:
    """A copy of the studies, in which the server may write; with nothing that another test's server left."""
    assert not (patients / "studies" / "igtv").exists(), "a server wrote into the folder that tests share"
    return Path(shutil.copytree(patients / "studies", tmp_path / "studies"))


def infer(client: MONAILabelClient, case: str) -> tuple[bytes, dict]:
    """Voxels of the mask, and what the server says about it."""
    file, answer = client.infer("igtv", case, {"result_extension": ".nrrd", "result_dtype": "uint8"})
    mask = sitk.ReadImage(file)
    os.unlink(file)
    assert set(np.unique(sitk.GetArrayViewFromImage(mask))) <= {0, 1}
    return sitk.GetArrayFromImage(mask).tobytes(), {**answer, "size": mask.GetSize(), "origin": mask.GetOrigin()}


def command(*arguments: str | Path) -> str:
    """Output of `python -m label_app`."""
    root = Path(__file__).parents[3]
    run = [sys.executable, "-m", "label_app", *map(str, arguments)]
    result = subprocess.run(run, cwd=root, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout
