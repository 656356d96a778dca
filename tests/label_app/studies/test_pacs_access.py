"""A PACS behind a password and a certificate that nobody signed (Orthanc with both), and what is said without them."""

import asyncio
import contextlib
import importlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from lib.options import AppOptions
from lib.paths import data_folders
from lib.server import self_check, start
from lib.server.errors import RequestError
from lib.server.routes.proxy import Pacs as ProxiedPacs
from lib.server.routes.proxy import pass_on
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.pacs import Pacs, PacsError
from lib.studies.pacs_access import PASSWORD_VARIABLE, USER_VARIABLE, PacsAccess, access_of, pacs_access
from monailabel.config import settings

USER, PASSWORD = "igtv-server", "a password of its own"
CT = "1.3.6.1.4.1.14519.5.2.1.5168.1900.672471348177659964935135533244"
WRONG = {
    "nobody": (("", "", "pacs"), f"it asks for a user and a password: set {USER_VARIABLE} and {PASSWORD_VARIABLE}"),
    "wrong password": ((USER, "guessed", "pacs"), f"it refuses the user '{USER}' or the password"),
    "unknown certificate": ((USER, PASSWORD, ""), r"not trusted \(self.signed certificate\).*--conf pacs_certificate"),
    "another certificate": ((USER, PASSWORD, "other"), r"its certificate is not trusted.*is not the one in other\.pem"),
}


@pytest.fixture(scope="module")
def certificates(make_certificate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {"": "", **{name: str(make_certificate(folder / f"{name}.pem")) for name in ("pacs", "other")}}


@pytest.fixture(scope="module")
def guarded(start_orthanc, certificates, shared_dir):
    study = shared_dir / "data" / "dicom" / "STS_002"
    return start_orthanc(study, user=USER, password=PASSWORD, certificate=certificates["pacs"])


@pytest.fixture(params=WRONG)
def wrong(request, certificates):
    """An access that does not do, and the words about it."""
    (user, password, certificate), words = WRONG[request.param]
    return PacsAccess(user, password, certificates[certificate]), words


def checked(address, access, monkeypatch):
    """What the check at the start says."""
    monkeypatch.setattr(self_check, "access_of", lambda app: access)
    return self_check.studies(SimpleNamespace(studies=address, options=AppOptions()))


def secrets_in(text: str, access: PacsAccess) -> list[str]:
    """What annotators need not know: who the server is at the PACS, its files, its settings."""
    private = (access.user, access.password, access.certificate, ".pem", USER_VARIABLE, "pacs_certificate")
    return [part for part in private if part and part in text]


def proxied(address, access) -> int:
    """Status of a search that OHIF sends through the server."""

    async def ask():
        pacs = ProxiedPacs(address, access)
        try:
            return (await pass_on(pacs, f"{address}/studies", "application/dicom+json")).status_code
        finally:
            await pacs.client().aclose()

    return asyncio.run(ask())


def test_cases_come_with_password_and_certificate(guarded, certificates, tmp_path, monkeypatch):
    access = PacsAccess(USER, PASSWORD, certificates["pacs"])
    store = PairedDicomWebDatastore(guarded.address, tmp_path / "data", access)
    assert guarded.address.startswith("https://") and store.case_ids() == [CT]
    assert store.pet_path(CT).is_file()
    assert checked(guarded.address, access, monkeypatch) == (True, "the PACS answers with status 200", "")
    assert proxied(guarded.address, access) == 200
    assert PASSWORD not in repr(access)


def test_what_is_wrong_is_said(guarded, wrong, tmp_path, monkeypatch):
    access, words = wrong
    with pytest.raises(PacsError, match=words):
        PairedDicomWebDatastore(guarded.address, tmp_path / "data", access)
    with pytest.raises(RequestError, match="tell the administrator") as refused:
        proxied(guarded.address, access)
    assert refused.value.http_status == 502 and not secrets_in(str(refused.value), access)
    ok, said, hint = checked(guarded.address, access, monkeypatch)
    assert not ok and re.search(words, hint) and not secrets_in(said, access)


def test_what_is_given_for_a_pacs_is_checked_before_it_is_asked(tmp_path, certificates, monkeypatch):
    address = "https://pacs.example/dicom-web"
    assert pacs_access(address).auth is None
    assert pacs_access(address, certificates["pacs"]).certificate == certificates["pacs"]
    with pytest.raises(ValueError, match="begins with http://, so nothing is checked"):
        pacs_access("http://127.0.0.1:8042/dicom-web", certificates["pacs"])
    (tmp_path / "none.pem").write_text("no certificate")
    for name in ("none.pem", "missing.pem"):
        with pytest.raises(ValueError, match=f"pacs_certificate: .*{name} is no PEM file"):
            pacs_access(address, str(tmp_path / name))
    monkeypatch.setattr(settings, USER_VARIABLE, USER)
    with pytest.raises(ValueError, match="belong together"):
        pacs_access(address)
    monkeypatch.setattr(settings, PASSWORD_VARIABLE, PASSWORD)
    assert pacs_access(address).auth == (USER, PASSWORD)


@pytest.mark.parametrize(
    ("address", "in_the_clear"),
    [
        ("http://pacs.example/dicom-web", True),
        ("http://192.0.2.7:8042", True),
        ("http://127.0.0.1.pacs.example:8042", True),
        ("http://127.0.0.1:8042", False),
        ("http://[::1]:8042", False),
        ("http://localhost:8042", False),
        ("https://pacs.example/dicom-web", False),
    ],
)
def test_a_password_in_the_clear_is_refused_unless_somebody_says_so(address, in_the_clear, monkeypatch, caplog):
    assert pacs_access(address).auth is None  # without a password there is nothing to protect
    monkeypatch.setattr(settings, USER_VARIABLE, USER)
    monkeypatch.setattr(settings, PASSWORD_VARIABLE, PASSWORD)
    if in_the_clear:
        with pytest.raises(ValueError, match="unencrypted.*pacs_password_over_http") as refused:
            pacs_access(address)
        assert PASSWORD not in str(refused.value)
    else:
        assert pacs_access(address).auth == (USER, PASSWORD)
    said = AppOptions.from_conf({"pacs_password_over_http": "true"})
    assert access_of(SimpleNamespace(studies=address, options=said)).auth == (USER, PASSWORD)
    assert ("goes over http to another computer" in caplog.text) == in_the_clear and PASSWORD not in caplog.text


def test_neither_start_sends_a_password_in_the_clear(label_app_dir, tmp_path, monkeypatch, capsys):
    """MONAI Label makes the app, or `python -m label_app` does: both end before the PACS is asked for anything."""
    address = "http://192.0.2.7:8042/dicom-web"
    monkeypatch.setattr(settings, USER_VARIABLE, USER)
    monkeypatch.setattr(settings, PASSWORD_VARIABLE, PASSWORD)
    app_class = importlib.import_module("main").IgtvApp

    def make_app():
        return app_class(str(label_app_dir), address, {"data_dir": str(tmp_path / "data")})

    with pytest.raises(ValueError, match="would cross the network unencrypted"):
        make_app()
    monkeypatch.setattr(start, "configure", lambda chosen: data_folders(address, tmp_path / "data").make())
    monkeypatch.setattr(start, "app_instance", make_app)
    assert start.run(["--studies", address]) == 2
    said = capsys.readouterr().err
    assert "would cross the network unencrypted" in said and PASSWORD not in said


@pytest.fixture
def answering():
    """`answering(status)`: address of a PACS that gives this status to everything, and what it was asked."""
    with contextlib.ExitStack() as running:

        def start(status):
            asked = []

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    asked.append(self.path)
                    self.send_response(status)
                    self.send_header("location", "/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()

                def log_message(self, *_):
                    pass

            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            running.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/dicom-web", asked

        yield start


def test_redirects_are_not_followed(answering, tmp_path, monkeypatch):
    address, asked = answering(302)
    with pytest.raises(PacsError, match="sends requests on to another address, which is not followed"):
        PairedDicomWebDatastore(address, tmp_path / "data", PacsAccess(USER, PASSWORD))
    assert len(asked) == 1 and "/elsewhere" not in asked
    ok, said = checked(address, PacsAccess(), monkeypatch)[:2]
    assert not ok and "/elsewhere" not in asked


@pytest.mark.parametrize(
    ("status", "told", "in_full"),
    [
        (
            401,
            "it refuses this server's login; tell the administrator",
            f"it refuses the user '{USER}' or the password",
        ),
        (403, "it does not allow this to this server; tell", f"it does not allow this to the user '{USER}'"),
    ],
)
def test_annotators_are_not_told_who_the_server_is_at_the_pacs(
    answering, status, told, in_full, tmp_path, monkeypatch, caplog
):
    address, _ = answering(status)
    access = PacsAccess(USER, PASSWORD)
    with pytest.raises(PacsError, match=in_full):  # at the start
        PairedDicomWebDatastore(address, tmp_path / "data", access)
    caplog.clear()
    with pytest.raises(PacsError, match=told) as refused:  # of a request
        Pacs(address, access).headers("1.2", "1.2.3")
    with pytest.raises(RequestError, match=told) as passed_on:
        proxied(address, access)
    assert caplog.text.count(in_full) == 2
    monkeypatch.setattr(self_check, "access_of", lambda app: access)
    app = SimpleNamespace(studies=address, options=AppOptions())
    check = self_check.Check("studies", *self_check.studies(app)[:2], False, self_check.studies(app)[2])
    assert in_full in str(check)
    for text in (str(refused.value), str(passed_on.value), str(check.as_dict())):
        assert not secrets_in(text, access), text
