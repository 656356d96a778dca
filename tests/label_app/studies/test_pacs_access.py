"""A PACS behind a password and a certificate that nobody signed (Orthanc with both), and what is said without them."""

import asyncio
import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from lib.options import AppOptions
from lib.server import self_check
from lib.server.errors import RequestError
from lib.server.routes.proxy import Pacs as ProxiedPacs
from lib.server.routes.proxy import pass_on
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.pacs import PacsError
from lib.studies.pacs_access import PASSWORD_VARIABLE, USER_VARIABLE, PacsAccess, pacs_access
from monailabel.config import settings

USER, PASSWORD = "igtv", "a password of its own"
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
    monkeypatch.setattr(self_check, "pacs_access", lambda address, certificate: access)
    return self_check.studies(SimpleNamespace(studies=address, options=AppOptions()))


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
    assert checked(guarded.address, access, monkeypatch) == (True, "the PACS answers with status 200")
    assert proxied(guarded.address, access) == 200
    assert PASSWORD not in repr(access)


def test_what_is_wrong_is_said(guarded, wrong, tmp_path, monkeypatch):
    access, words = wrong
    with pytest.raises(PacsError, match=words):
        PairedDicomWebDatastore(guarded.address, tmp_path / "data", access)
    with pytest.raises(RequestError, match=words) as refused:
        proxied(guarded.address, access)
    assert refused.value.http_status == 502
    ok, said = checked(guarded.address, access, monkeypatch)
    assert not ok and re.search(words, said)


def test_options(tmp_path, certificates, monkeypatch):
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
    ("address", "warned"),
    [
        ("http://pacs.example/dicom-web", True),
        ("http://192.0.2.7:8042", True),
        ("http://127.0.0.1:8042", False),
        ("http://[::1]:8042", False),
        ("http://localhost:8042", False),
        ("https://pacs.example/dicom-web", False),
    ],
)
def test_a_password_in_the_clear_is_warned_of(address, warned, monkeypatch, caplog):
    monkeypatch.setattr(settings, USER_VARIABLE, USER)
    monkeypatch.setattr(settings, PASSWORD_VARIABLE, PASSWORD)
    assert pacs_access(address).auth == (USER, PASSWORD)
    assert ("crosses the network unencrypted" in caplog.text) == warned and PASSWORD not in caplog.text


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
