"""Both ways of starting, `python -m label_app` and MONAI Label's own command: one server, the same checks.

Neither process reaches anything but this computer. (The hardened start without accounts is in the end-to-end test.)
"""

from pathlib import Path

import pytest
import requests

from ..waiting import wait_for
from .conftest import infer

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


@pytest.fixture
def offline(tmp_path) -> dict[str, str]:
    """Environment of a process that reaches nothing but this computer."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    return {"FIRST_PATH": str(folder), "NETWORK_ATTEMPTS": str(folder / "attempts.txt")}


@pytest.mark.parametrize("stock", [False, True], ids=["label_app with a password", "monailabel"])
def test_server_answers_checks_and_ends(stock, server_process, patients, offline, tmp_path):
    """With the warm-up. With a password nothing is answered before the client has logged in, as 3D Slicer does."""
    data_dir = tmp_path / "data"
    options = ["--conf", "data_dir", str(data_dir), "--conf", "device", "cpu"]
    environment = {**offline, "IGTV_PASSWORD": "" if stock else "a shared password"}
    server = server_process(patients / "studies", *options, stock=stock, environment=environment, name="start").start()
    client, headers = server.client(tmp_path / "client"), {}
    assert client.auth_enabled() is not stock
    if not stock:
        assert requests.get(f"{server.url}/info/").status_code == 401 and not client.auth_valid_token()
        token = client.auth_token("anna", "a shared password")
        client.update_auth(token)
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert client.auth_valid_token()
    info = client.info()
    assert info["name"] == "IGTV on PET/CT" and info["datastore"]["total"] == 3
    health = requests.get(f"{server.url}/health", headers=headers).json()
    assert health["ok"], health
    check_refusals(server.url, headers)
    wait_for(lambda: requests.get(f"{server.url}/health", headers=headers).json()["ready"], 180, "the warm-up")
    assert "warm-up failed" not in server.tail() and "warm-up took" in server.tail()
    _, answer = infer(client, "STS_042")
    assert answer["model"]["version"] == 1 and answer["measures"]["volume_ml"] > 0
    label = str(patients / "labels" / "STS_042.nii.gz")
    client.save_label("STS_042", label, "final", {"label_info": [{"name": "igtv", "idx": 1}]})
    assert (data_dir / "labels" / "final" / "STS_042.nii.gz").is_file()
    user = "local" if stock else "anna"
    assert f'"{user}"' in (data_dir / "labels" / "audit.jsonl").read_text()
    assert server.stop()
    assert list((data_dir / "temporary").iterdir()) == []
    attempts = Path(offline["NETWORK_ATTEMPTS"])
    assert not attempts.exists(), attempts.read_text()


def check_refusals(url: str, headers: dict[str, str]) -> None:
    """One of each kind; all of them are tested without a process."""
    for method, path in (("PUT", "/model/igtv"), ("POST", "/reload"), ("GET", "/logs/")):
        assert requests.request(method, url + path, headers=headers).status_code == 403, path
    assert requests.post(f"{url}/infer/igtv?image=/etc/hostname", headers=headers).status_code == 400
    assert requests.post(f"{url}/train/igtv", json={"max_epochs": "$1"}, headers=headers).status_code == 400
    foreign = {**headers, "Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in requests.get(f"{url}/info/", headers=foreign).headers
    assert requests.post(f"{url}/activelearning/first", json={}, headers=foreign).status_code == 403
