"""What can be known to be wrong before the first user finds out."""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
import torch
from monailabel.config import settings

from ..learning.labelled_cases import given_cases
from ..paths import is_remote
from ..studies.local_datastore import PATIENTS_NAME
from ..studies.pacs_access import access_of

TESTED = {"monailabel": "0.8.5", "monai": "1.6", "pydicom": "2.4", "torch": "2."}
MIN_FREE_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it is as it should be.
        text: what was found.
        fatal: whether the server cannot work without it.
        hint: more, for the person who started the server; not shown to those who use it.
    """

    name: str
    ok: bool
    text: str
    fatal: bool = False
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON that users see."""
        return {name: value for name, value in asdict(self).items() if name != "hint"}

    def __str__(self) -> str:
        return f"{self.name}: {'' if self.ok else 'NOT OK: '}{self.text}{self.hint and f': {self.hint}'}"


def check_app(app: Any) -> list[Check]:
    """Look at versions, operators, folders, models, converters, viewer and studies.

    Args:
        app: `IgtvApp`.

    Returns:
        The checks, in the order above; none raises.
    """
    steps: list[tuple[str, bool, Callable[[], tuple]]] = [
        ("versions", False, versions),
        ("torchvision", False, torchvision_operators),
        ("data folder", True, lambda: writable(app.folders.root)),
        ("disk", False, lambda: free_space(app.folders.root)),
        *[(f"model {name}", True, lambda r=registry: model(r)) for name, registry in app.models.items()],
        ("device", True, lambda: device(app.options.device)),
        *([("frozen set", True, lambda: frozen_set(app.options.frozen_set))] if app.options.frozen_set else []),
        ("DICOM writers", False, converters),
        ("OHIF", False, viewer),
        ("studies", False, lambda: studies(app)),
    ]
    checks = []
    for name, fatal, step in steps:
        try:
            ok, text, *hint = step()
        except Exception as error:
            ok, text, hint = False, f"{type(error).__name__}: {error}", []
        checks.append(Check(name, ok, text, fatal, *hint))
    return checks


def device(name: str) -> tuple[bool, str]:
    """Whether the device that was asked for is there."""
    wanted = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.empty(1, device=wanted)
    return True, str(wanted)


def frozen_set(datalist: str) -> tuple[bool, str]:
    """Whether the given frozen validation set can be read: until it is made, it says who is held out."""
    cases = given_cases(Path(datalist))
    return bool(cases), f"{len(cases)} labelled case(s) in {Path(datalist).name}"


def versions() -> tuple[bool, str]:
    """Whether the libraries are those this was tested with."""
    found = {name: importlib.metadata.version(name) for name in TESTED}
    other = [
        f"{name} {found[name]} (tested: {TESTED[name]})" for name in TESTED if not found[name].startswith(TESTED[name])
    ]
    return not other, ", ".join(other) or ", ".join(f"{name} {version}" for name, version in found.items())


def torchvision_operators() -> tuple[bool, str]:
    """Whether torchvision fits torch; a pair from two indexes fails when MONAI Label's transforms are imported."""
    import torchvision  # noqa: F401

    fits = hasattr(torch.ops.torchvision, "nms")
    return fits, "its operators are there" if fits else "its operators are missing: install both from one index"


def writable(folder: Path) -> tuple[bool, str]:
    """Whether a file can be written, forced to disk and removed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".check-")
    try:
        os.write(handle, b"igtv")
        os.fsync(handle)
    finally:
        os.close(handle)
        os.unlink(name)
    return True, str(folder)


def free_space(folder: Path) -> tuple[bool, str]:
    """Whether there is room for labels and model versions."""
    free = shutil.disk_usage(folder).free
    return free > MIN_FREE_BYTES, f"{free / 1e9:.1f} GB free"


def model(registry: Any) -> tuple[bool, str]:
    """Whether the current version is there and has the hash it was stored with."""
    version = registry.current()
    return registry.is_whole(version.number), f"{version.label}, {version.sha256[:12]}"


def converters() -> tuple[bool, str]:
    """Whether DICOM SEG and RTSTRUCT can be written without any download."""
    missing = [name for name in ("highdicom", "pydicom", "igtv.dicom") if importlib.util.find_spec(name) is None]
    return not missing, f"missing: {', '.join(missing)}" if missing else "highdicom, pydicom"


def viewer() -> tuple[bool, str]:
    """Whether MONAI Label's package has OHIF in it."""
    from .routes.viewer import OHIF

    there = (OHIF / "index.html").is_file()
    return there, "there" if there else "missing from the package of MONAI Label"


def studies(app: Any) -> tuple[bool, str, str]:
    """Whether the PACS answers, or how many cases the folder has; the last text is the hint of a `Check`."""
    if not is_remote(app.studies):
        store = app.datastore()
        count = len(store.list_images())
        return count > 0, f"{count} cases{_untold_patients(store)}", ""
    access = access_of(app)
    address = "/".join(part for part in (app.studies.rstrip("/"), settings.MONAI_LABEL_QIDO_PREFIX, "studies") if part)
    with access.session() as session:
        try:
            answer = session.get(f"{address}?limit=1", timeout=5, headers={"Accept": "application/dicom+json"})
        except requests.RequestException as error:
            told = access.tell(error) or type(error).__name__
            return False, f"the PACS does not answer: {told}", access.explain(error)
    status = answer.status_code
    told = access.tell(status)
    text = f"the PACS answers with status {status}{told and f': {told}'}"
    return status in (200, 204), text, access.explain(status)


def _untold_patients(store: Any) -> str:
    """Two scans of one patient under two names would put the patient into the frozen set and into the training."""
    untold = store.cases_without_patient()
    if not untold:
        return ""
    return (
        f"; of {len(untold)} the file's name stands for the patient: where a patient has several scans, say so in "
        f"{PATIENTS_NAME} ({{case: patient}})"
    )
