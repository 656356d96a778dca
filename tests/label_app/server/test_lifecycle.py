"""Begin and end of a server: refusals before anything runs, one per folder, nothing left behind."""

import sys
import tempfile
import threading
from types import SimpleNamespace

import pytest
import requests
from fastapi import FastAPI
from lib.options import AppOptions
from lib.paths import BUNDLE_DIR, data_folders
from lib.server import lifecycle, start
from lib.server.self_check import Check, check_app
from lib.server.takeover import take_over
from lib.server.uploads import empty, private_folder
from lib.studies.data_folder import is_only_looked_at, take
from monailabel.utils.sessions import Sessions
from starlette.testclient import TestClient

from ..waiting import wait_for
from .conftest import NAME, PASSWORD


@pytest.fixture
def app(made_up_app, monkeypatch):
    """Nothing warms up; the folder for temporary files is given back."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    made_up_app.warm_up = lambda: None
    yield made_up_app
    lifecycle.end(made_up_app)


def test_one_server_per_data_folder(app):
    other = SimpleNamespace(**vars(app))
    lifecycle.begin(app)
    with pytest.raises(lifecycle.StartRefused, match="another server"):
        lifecycle.begin(other)
    lifecycle.end(app)
    lifecycle.begin(other)
    lifecycle.end(other)


def test_start_clears_what_an_earlier_server_left(app):
    (app.folders.temporary / "request-old").mkdir()
    (app.folders.temporary / "request-old" / "label.nii.gz").write_text("x")
    (app.folders.temporary / "tmpabc.nrrd").write_text("x")
    lifecycle.begin(app)
    assert list(app.folders.temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(app.folders.temporary)
    assert app.ready.wait(60)


def test_start_ends_the_sessions_of_an_earlier_server(app):
    case = app.folders.sessions / "1" / "case"
    case.mkdir(parents=True)
    (case / "ct.nii.gz").write_text("x")
    lifecycle.begin(app)
    assert list(app.folders.sessions.iterdir()) == []


def test_a_step_that_fails_does_not_end_the_sweeping(app, monkeypatch):
    """A session folder without its notes is nothing that MONAI Label's clean-up survives."""
    rounds, removed = [], threading.Event()

    def sessions():
        rounds.append(1)
        if len(rounds) == 1:
            raise AttributeError("'NoneType' object has no attribute 'last_access_ts'")
        removed.set()
        return Sessions(str(app.folders.sessions))

    app.sessions = sessions
    monkeypatch.setattr(lifecycle, "SWEEP_EVERY_S", 0.01)
    lifecycle.begin(app)
    assert removed.wait(20)


def test_ready_is_said_after_the_warm_up(app, serve):
    """Meanwhile the server answers; a warm-up that fails makes the first request slower, and no server less."""
    go = threading.Event()

    def warm_up():
        go.wait(20)
        raise RuntimeError("no memory")

    app.warm_up = warm_up
    lifecycle.begin(app)
    client = serve()
    assert client.get("/health").json()["ready"] is False and client.get("/info/").status_code == 200
    go.set()
    assert app.ready.wait(60) and client.get("/health").json()["ready"] is True


def test_a_damaged_model_stops_the_start(app):
    def damaged():
        raise ValueError("model.pt is damaged")

    app.models = {"igtv": SimpleNamespace(current=damaged)}
    with pytest.raises(lifecycle.StartRefused, match="model igtv.*damaged"):
        lifecycle.begin(app)
    app.models = {}
    lifecycle.begin(app)  # the refused start left the folder free


def test_checks_never_raise_and_say_what_they_found(app):
    app.datastore().list_images = lambda: 1 / 0
    checks = {check.name: check for check in check_app(app)}
    assert not checks["studies"].ok and "ZeroDivisionError" in checks["studies"].text
    assert checks["data folder"].ok and checks["OHIF"].ok
    assert "NOT OK" in str(Check("x", False, "y"))


def test_a_device_or_frozen_set_that_is_not_there_stops_the_start(app, tmp_path):
    """Found out at the first training, it would be too late: until then the held-out patients are given out first."""
    app.options = AppOptions(device="cdua", frozen_set=str(tmp_path / "none.json"))
    checks = {check.name: check for check in check_app(app)}
    assert [(checks[name].ok, checks[name].fatal) for name in ("device", "frozen set")] == [(False, True)] * 2
    assert "none.json does not exist" in checks["frozen set"].text
    (tmp_path / "set.json").write_text('{"validation": [{"ct": "a/ct.nii", "pet": "a/pet.nii", "label": "a/l.nii"}]}')
    app.options = AppOptions(device="cpu", frozen_set=str(tmp_path / "set.json"))
    checks = {check.name: check for check in check_app(app)}
    assert checks["device"].ok and checks["frozen set"].text == "1 labelled case(s) in set.json"


def test_leftovers_are_told_from_files_in_use(tmp_path):
    (tmp_path / "new").write_text("x")
    assert empty(tmp_path, older_than_s=60) == 0
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("x")
    (tmp_path / "link").symlink_to(outside)
    assert empty(tmp_path) == 2 and outside.exists()
    with pytest.raises(KeyError), private_folder(tmp_path) as folder:
        (folder / "upload").write_text("x")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_requests_of_monailabels_own_server_go_through_ours(app, monkeypatch):
    stock = FastAPI()
    stock.add_api_route("/info/", lambda: {"stock": True})
    stock.middleware_stack = stock.build_middleware_stack()
    monkeypatch.setitem(sys.modules, "monailabel.app", SimpleNamespace(app=stock))
    monkeypatch.delenv("IGTV_PASSWORD", raising=False)
    assert take_over(app)
    client = TestClient(stock, base_url="http://127.0.0.1", client=("127.0.0.1", 1))
    assert client.get("/info/").json()["name"] == "made up"
    assert client.put("/model/igtv").status_code == 403
    assert not take_over(app)  # once


def test_monailabels_own_server_takes_accounts_over_https_only(app, monkeypatch):
    """It does not say where it listens, so every request is looked at."""
    stock = FastAPI()
    monkeypatch.setitem(sys.modules, "monailabel.app", SimpleNamespace(app=stock))
    monkeypatch.delenv("IGTV_ACCOUNTS", raising=False)
    monkeypatch.setenv("IGTV_PASSWORD", "a shared password")
    monkeypatch.setenv("IGTV_BEHIND_TLS_PROXY", "192.0.2.10")
    assert take_over(app)
    form = {"username": "anna", "password": "a shared password"}
    for scheme, peer, status in (
        ("http", "198.51.100.9", 403),
        ("https", "198.51.100.9", 200),
        ("http", "192.0.2.10", 200),  # the proxy, which says that its client came over https
        ("http", "127.0.0.1", 200),
    ):
        client = TestClient(stock, base_url=f"{scheme}://127.0.0.1", client=(peer, 1))
        answer = client.post("/auth/token", data=form, headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == status, (scheme, peer)


def test_refusals_before_anything_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("IGTV_PASSWORD", raising=False)
    monkeypatch.delenv("IGTV_ACCOUNTS", raising=False)
    assert start.run(["--studies", str(tmp_path), "--host", "0.0.0.0"]) == 2
    assert "needs accounts" in capsys.readouterr().err
    assert start.run(["--studies", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert start.run(["--studies", str(tmp_path), "--accounts", str(tmp_path / "none.txt")]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def configured(app, monkeypatch):
    """`python -m label_app` on the folder of the made-up app."""
    monkeypatch.setattr(start, "configure", lambda chosen: app.folders)
    return ["--studies", app.studies]


def test_a_second_server_is_refused_before_its_app_is_made(app, configured, monkeypatch, capsys):
    monkeypatch.setattr(start, "app_instance", lambda: pytest.fail("the app was made"))
    lock = take(app.folders.root)
    assert start.run(configured) == 2
    assert "another server" in capsys.readouterr().err
    lock.close()


def test_a_start_that_fails_leaves_the_folder_free(app, configured, monkeypatch, capsys):
    def make_app():
        raise ValueError("the PACS does not answer")

    monkeypatch.setattr(start, "app_instance", make_app)
    assert start.run(configured) == 2 and "does not answer" in capsys.readouterr().err
    take(app.folders.root).close()


def test_the_check_changes_nothing_beside_a_running_server(app, configured, monkeypatch, capsys):
    def make_app():
        assert is_only_looked_at(app.folders.root)
        return app

    monkeypatch.setattr(start, "app_instance", make_app)
    lock = take(app.folders.root)
    before = {path: path.stat().st_mtime_ns for path in app.folders.root.rglob("*") if path.is_file()}
    assert start.run([*configured, "--check"]) == 0
    assert "studies: 3 cases" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in app.folders.root.rglob("*") if path.is_file()} == before
    lock.close()


@pytest.fixture
def uvicorn_in_a_thread(monkeypatch):
    """What `uvicorn.run` does, on a port that is free; ends with the test. The servers that were started."""
    servers = []

    def run(application, **options):
        config = start.uvicorn.Config(application, **options)
        servers.append(start.uvicorn.Server(config))
        servers[-1].run()

    monkeypatch.setattr(start.uvicorn, "run", run)
    yield servers
    for server in servers:
        server.should_exit = True


def test_a_server_with_a_certificate_speaks_https_alone(
    app, configured, uvicorn_in_a_thread, accounts_hash, make_certificate, tmp_path, monkeypatch
):
    """The certificate and its key in a file each; clients check it, and no password is taken in the clear."""
    both, accounts = make_certificate(tmp_path / "both.pem").read_text(), tmp_path / "accounts.txt"
    first_line_of_the_key = both.index("-----BEGIN PRIVATE KEY-----")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text(both[:first_line_of_the_key])
    key.write_text(both[first_line_of_the_key:])
    accounts.write_text(f"{NAME}:{accounts_hash}\n")
    monkeypatch.setattr(start, "app_instance", lambda: app)
    options = ["--ssl_certfile", str(certificate), "--ssl_keyfile", str(key), "--accounts", str(accounts)]
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(start.run([*configured, "--port", "0", *options])))
    thread.start()
    wait_for(lambda: statuses or (uvicorn_in_a_thread and uvicorn_in_a_thread[0].started))
    address = f"127.0.0.1:{uvicorn_in_a_thread[0].servers[0].sockets[0].getsockname()[1]}"
    form = {"username": NAME, "password": PASSWORD}
    with requests.Session() as client:
        client.trust_env = False
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            client.post(f"https://{address}/auth/token", data=form, timeout=20)
        with pytest.raises(requests.exceptions.ConnectionError):
            client.post(f"http://{address}/auth/token", data=form, timeout=20)
        answer = client.post(f"https://{address}/auth/token", data=form, timeout=20, verify=str(certificate))
    assert answer.status_code == 200 and answer.json()["token_type"] == "bearer"
    uvicorn_in_a_thread[0].should_exit = True
    thread.join(60)
    assert statuses == [0]


def test_options_of_the_app():
    options = AppOptions.from_conf({"warm_up": "false", "max_waiting": "3", "wait_seconds": "1.5"})
    assert (options.warm_up, options.max_waiting, options.wait_seconds) == (False, 3, 1.5)
    with pytest.raises(ValueError, match="did you mean 'max_waiting'"):
        AppOptions.from_conf({"max_wating": "3"})
    with pytest.raises(ValueError, match="true or false"):
        AppOptions.from_conf({"warm_up": "maybe"})
    with pytest.raises(ValueError, match="int"):
        AppOptions.from_conf({"max_waiting": "many"})
    for name, value in (
        ("frozen_share", "20"),
        ("gate_margin", "-0.1"),
        ("max_waiting", "-1"),
        ("wait_seconds", "nan"),
    ):
        with pytest.raises(ValueError, match=f"option '{name}' is .*; it lies between"):
            AppOptions.from_conf({name: value})


def test_each_place_of_studies_has_a_data_folder_that_only_its_owner_reads(tmp_path):
    assert data_folders(str(tmp_path)).root == tmp_path / "igtv"
    assert data_folders("http://pacs:8042/dicom-web", tmp_path / "x").root == tmp_path / "x"
    assert data_folders("http://pacs:8042/dicom-web").root.name.startswith("pacs_8042")
    folders = data_folders(str(tmp_path)).make()
    assert folders.labels.is_dir() and folders.root.stat().st_mode & 0o077 == 0
    assert (BUNDLE_DIR / "configs" / "inference.json").is_file()


def test_stand_in_is_as_the_datastore(made_up_app, unlike_datastore):
    """What the routes call is there, `cases_without_patient` of the self-check included."""
    assert unlike_datastore(type(made_up_app.store)) == []
    assert made_up_app.store.cases_without_patient() == []
