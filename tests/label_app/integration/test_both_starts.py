"""`python -m label_app` and MONAI Label's own command: one server, the same checks, one copy of everything."""

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from .conftest import ServerProcess

# put in front of everything a process loads: any attempt to reach another computer is noted and fails
NO_NETWORK = """
import os, socket

def guarded(method):
    def call(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:
                file.write(repr(address))
            raise OSError("no network in this test")
        return method(self, address, *rest)
    return call

def lookup(host, *rest, original=socket.getaddrinfo, **options):
    if host not in (None, "", "127.0.0.1", "::1", "localhost", socket.gethostname()):
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:
            file.write(repr(host))
        raise socket.gaierror("no network in this test")
    return original(host, *rest, **options)

socket.socket.connect = guarded(socket.socket.connect)
socket.socket.connect_ex = guarded(socket.socket.connect_ex)
socket.getaddrinfo = lookup
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> dict[str, str]:
    """Environment of a process that reaches nothing but this computer."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    return {"FIRST_PATH": str(folder), "NETWORK_ATTEMPTS": str(folder / "attempts.txt")}


@pytest.fixture(scope="module", params=[False, True], ids=["label_app", "monailabel"])
def server(request, server_process, patients, offline, tmp_path_factory) -> ServerProcess:
    """Without warm-up, since nothing is inferred here."""
    data_dir = tmp_path_factory.mktemp("data")
    options = ["--conf", "data_dir", str(data_dir), "--conf", "warm_up", "false"]
    server = server_process(patients / "studies", *options, stock=request.param, environment=offline, name="start")
    server.data_dir = data_dir
    server.start()
    yield server
    server.kill()


def test_server_answers_checks_and_ends(server, patients, offline):
    info = requests.get(f"{server.url}/info/").json()
    assert info["name"] == "IGTV on PET/CT" and info["datastore"]["total"] == 3
    health = requests.get(f"{server.url}/health").json()
    assert health["ok"], health
    for method, path in (("PUT", "/model/igtv"), ("POST", "/reload"), ("GET", "/logs/")):
        assert requests.request(method, server.url + path).status_code == 403, path
    assert requests.post(f"{server.url}/infer/igtv?image=/etc/hostname").status_code == 400
    assert requests.post(f"{server.url}/train/igtv", json={"max_epochs": "$1"}).status_code == 400
    foreign = requests.get(f"{server.url}/info/", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    assert requests.get(f"{server.url}/info/", headers={"Host": "rebound.example"}).status_code == 403
    with (patients / "labels" / "STS_042.nii.gz").open("rb") as file:
        saved = requests.put(f"{server.url}/datastore/label?image=STS_042", files={"label": file})
    assert saved.status_code == 200, saved.text
    assert (server.data_dir / "labels" / "final" / "STS_042.nii.gz").is_file()
    second = [sys.executable, "-m", "label_app", "--studies", str(patients / "studies"), "--data_dir", server.data_dir]
    result = subprocess.run(second, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and "another server" in result.stderr
    assert server.stop()
    assert not any((server.data_dir / "temporary").iterdir())
    assert not Path(offline["NETWORK_ATTEMPTS"]).exists(), Path(offline["NETWORK_ATTEMPTS"]).read_text()


def test_password_over_the_wire(server_process, patients, tmp_path):
    """MONAI Label's client logs in as 3D Slicer does; without a token nothing is answered."""
    options = ["--data_dir", tmp_path / "data", "--conf", "warm_up", "false"]
    environment = {"IGTV_PASSWORD": "a shared password"}
    server = server_process(patients / "studies", *options, environment=environment, name="password").start()
    client = server.client(tmp_path / "client")
    assert client.auth_enabled() and not client.auth_valid_token()
    assert requests.get(f"{server.url}/info/").status_code == 401
    client.update_auth(client.auth_token("anna", "a shared password"))
    assert client.auth_valid_token() and client.info()["models"]
    label = str(patients / "labels" / "STS_042.nii.gz")
    client.save_label("STS_042", label, "final", {"label_info": [{"name": "igtv", "idx": 1}]})
    assert '"anna"' in (tmp_path / "data" / "labels" / "audit.jsonl").read_text()
    assert server.stop()
