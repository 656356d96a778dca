"""A PACS of one's own for trials and tests: Orthanc with DICOMweb, for this computer only, gone afterwards."""

import contextlib
import io
import json
import shutil
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

import requests
from ports import free_port
from tls_front import TlsFront

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS = 60


def missing_programs() -> list[str]:
    """Debian packages that are needed and not there."""
    found = {"orthanc": shutil.which("Orthanc"), "orthanc-dicomweb": PLUGIN.is_file()}
    return [name for name, there in found.items() if not there]


class Orthanc:
    """An empty Orthanc on a free port; use it with `with`.

    Args:
        user, password: asked of everybody; "" for nobody.
        certificate: PEM file with certificate and key, for https (by a front of its own); None: http.

    Attributes:
        address: of DICOMweb.
        root: of Orthanc's own interface.
    """

    def __init__(self, user: str = "", password: str = "", certificate: Path | None = None):
        self._users = {user: password} if user else {}
        self._certificate = certificate
        self._running = contextlib.ExitStack()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (user, password) if user else None
        self._session.verify = True if certificate is None else str(certificate)

    def __enter__(self) -> "Orthanc":
        self._folder = tempfile.TemporaryDirectory(prefix="orthanc-")
        folder = Path(self._folder.name)
        port = free_port()
        self.root = f"http://127.0.0.1:{port}"
        if self._certificate is not None:
            front = self._running.enter_context(TlsFront(self._certificate, port))
            self.root = f"https://127.0.0.1:{front.port}"
        self.address = f"{self.root}/dicom-web"
        options = {
            "HttpPort": port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(self._users),
            "RegisteredUsers": self._users,
            "StorageDirectory": str(folder / "database"),
            "IndexDirectory": str(folder / "database"),
            "SyncStorageArea": False,
            "Plugins": [str(PLUGIN)],
        }
        (folder / "orthanc.json").write_text(json.dumps(options), encoding="utf-8")
        self._log = folder / "log.txt"
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._running.close()
        self._folder.cleanup()

    def stop(self) -> None:
        """As if the PACS had gone down; what it holds stays."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def restart(self) -> None:
        """Up again on the same port."""
        self._start()

    def fill(self, folder: Path) -> None:
        """Store all DICOM files below a folder."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
                archive.write(path, f"{number}.dcm")
        self._session.post(f"{self.root}/instances", data=packed.getvalue(), timeout=120).raise_for_status()

    def modalities(self) -> list[str]:
        """Modality of every series it holds, sorted."""
        series = self._session.get(f"{self.root}/series?expand", timeout=60).json()
        return sorted(one["MainDicomTags"]["Modality"] for one in series)

    def _start(self) -> None:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["Orthanc", str(Path(self._folder.name) / "orthanc.json")], stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(requests.RequestException):
                if self._session.get(f"{self.root}/system", timeout=5).ok and self._process.poll() is None:
                    return
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"Orthanc did not start: {self._log.read_text()[-500:]}")
