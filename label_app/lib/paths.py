"""Where things lie: the bundle, on whose package the app builds, and the folder with everything the app writes."""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

APP_DIR = Path(__file__).resolve().parents[1]
BUNDLE_DIR = APP_DIR.parent / "bundle"


def add_bundle_to_path() -> None:
    """Make `igtv` importable; the bundle is not an installed package."""
    if str(BUNDLE_DIR) not in sys.path:
        sys.path.insert(0, str(BUNDLE_DIR))


add_bundle_to_path()


def is_remote(studies: str) -> bool:
    """Whether the studies are a DICOMweb address, not a folder."""
    return str(studies).startswith(("http://", "https://"))


def refuse_credentials(studies: str) -> None:
    """Raise ValueError for an address with a user or a password in it: addresses end up in logs and lists of processes.

    The text of the error does not repeat the address.
    """
    if is_remote(studies) and "@" in urlsplit(str(studies)).netloc:
        raise ValueError(
            "the address of the studies holds a user or a password, which would get into logs: leave both out of it, "
            "and set MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD"
        )


@dataclass(frozen=True)
class DataFolders:
    """Folders of one set of studies. Nothing the app writes lies outside `root`.

    Attributes:
        root: for a local folder `<studies>/igtv`, for DICOMweb the data folder of the options.
    """

    root: Path

    @property
    def labels(self) -> Path:
        """Final labels, their history, the audit trail."""
        return self.root / "labels"

    @property
    def models(self) -> Path:
        """Versions of every model, one folder per registry."""
        return self.root / "models"

    @property
    def learning(self) -> Path:
        """Runs of the learning loop, the frozen validation set, status files."""
        return self.root / "learning"

    @property
    def scores(self) -> Path:
        """Scores of active learning, per model version."""
        return self.root / "scores"

    @property
    def cache(self) -> Path:
        """What can be made again: volumes from the PACS, PET in SUV."""
        return self.root / "cache"

    @property
    def sessions(self) -> Path:
        """Images that clients bring along for inference only; they expire."""
        return self.root / "sessions"

    @property
    def temporary(self) -> Path:
        """Private folder of files that live as long as one request; emptied at start."""
        return self.root / "temporary"

    @property
    def logs(self) -> Path:
        """Log files of the server."""
        return self.root / "logs"

    def make(self) -> "DataFolders":
        """Make the folders, readable by their owner only, since file names can be patient numbers."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("labels", "models", "learning", "scores", "cache", "sessions", "temporary", "logs"):
            (self.root / name).mkdir(exist_ok=True, mode=0o700)
        return self


def data_folders(studies: str, data_dir: str | Path | None = None) -> DataFolders:
    """Folders of the app for these studies.

    Args:
        studies: folder of the studies or address of the DICOMweb server.
        data_dir: folder to use in place of the default, which is `<studies>/igtv`, and for an address
            `~/.local/share/igtv/<host>-<hash of the address>`.

    Raises:
        ValueError: the address holds a user or a password.
    """
    refuse_credentials(studies)
    if data_dir:
        return DataFolders(Path(data_dir).expanduser().resolve())
    if not is_remote(studies):
        return DataFolders(Path(studies).resolve() / "igtv")
    address = str(studies).rstrip("/")
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", address.split("://", 1)[1])[:60]
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    return DataFolders(Path.home() / ".local" / "share" / "igtv" / f"{host}-{digest}")
