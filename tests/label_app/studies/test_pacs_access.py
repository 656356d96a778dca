"""A PACS behind a password and a certificate that nobody signed (Orthanc with both), and what is said without them."""

import asyncio
import re
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
    monkeypatch.setattr(self_check, "pacs_access", lambda certificate: access)
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
    assert pacs_access().auth is None
    assert pacs_access(certificates["pacs"]).certificate == certificates["pacs"]
    (tmp_path / "none.pem").write_text("no certificate")
    for name in ("none.pem", "missing.pem"):
        with pytest.raises(ValueError, match=f"pacs_certificate: .*{name} is no PEM file"):
            pacs_access(str(tmp_path / name))
    monkeypatch.setattr(settings, USER_VARIABLE, USER)
    with pytest.raises(ValueError, match="belong together"):
        pacs_access()
    monkeypatch.setattr(settings, PASSWORD_VARIABLE, PASSWORD)
    assert pacs_access().auth == (USER, PASSWORD)
