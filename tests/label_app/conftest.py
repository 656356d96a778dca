"""The app's package `lib` on the path, as MONAI Label puts it there, and small cases to serve."""

import contextlib
import inspect
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

LABEL_APP = Path(__file__).resolve().parents[2] / "label_app"
sys.path.insert(0, str(LABEL_APP))
# one copy of `lib` for the tests and the app they make; the server as a process is tested with MONAI Label's purge
os.environ["MONAI_LABEL_RELOAD_APP_LIB"] = "false"

import pytest  # noqa: E402  (the path comes first)
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """A start of the server in this process logs to where a test captures it, which is closed when the test ends."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [one for one in root.handlers if one not in before and type(one).__module__.startswith("logging")]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


@pytest.fixture(scope="session")
def label_app_dir() -> Path:
    """Folder of the app."""
    return LABEL_APP


@pytest.fixture(scope="session")
def unlike_datastore():
    """Function that tells in which methods a stand-in for the datastore is not as the datastore."""
    from lib.studies.paired_datastore import PairedDatastore

    def tell(stand_in: type) -> list[str]:
        unlike = []
        for name, method in inspect.getmembers(stand_in, inspect.isfunction):
            real = getattr(PairedDatastore, name, None)
            if name.startswith("_") or method is real:
                continue
            if real is None:
                unlike.append(f"{name} is no method of the datastore")
            elif list(inspect.signature(method).parameters) != list(inspect.signature(real).parameters):
                unlike.append(f"{name} takes {inspect.signature(method)}, the datastore's {inspect.signature(real)}")
        return unlike

    return tell


@pytest.fixture(scope="session")
def tools_dir() -> Path:
    """Folder of programs for trials: a PACS, a browser; on the path."""
    folder = LABEL_APP / "tools"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


@pytest.fixture(scope="session")
def start_orthanc(tools_dir, require_programs):
    """Function that starts a PACS with the DICOM files of a folder; skips where there is none, fails with CI=true."""
    from orthanc import Orthanc, missing_programs

    require_programs(missing_programs())
    with contextlib.ExitStack() as running:

        def start(folder: Path | None = None, **options):
            pacs = running.enter_context(Orthanc(**options))
            if folder is not None:
                pacs.fill(folder)
            return pacs

        yield start


@pytest.fixture(scope="session")
def make_certificate():
    """`make_certificate(path)`: a PEM file with a certificate for 127.0.0.1 that nobody signed, and its key."""
    return write_certificate


def write_certificate(path: Path, days: int = 2) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "made up")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    signed = builder.sign(key, hashes.SHA256())
    path.write_bytes(signed.public_bytes(pem[0]) + key.private_bytes(*pem))
    return path


@pytest.fixture(scope="session")
def require_programs():
    """Function that skips a test when programs are missing, and fails it with CI=true."""

    def require(missing: list[str]) -> None:
        if missing and os.environ.get("CI") == "true":
            pytest.fail(f"{', '.join(missing)} missing (Debian packages), and CI=true says they must be there")
        if missing:
            pytest.skip(f"{', '.join(missing)} missing (Debian packages)")

    return require
