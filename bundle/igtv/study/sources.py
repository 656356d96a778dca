"""Which sources of the package a result depends on, by their content."""

import hashlib
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parents[1]
SOURCES = (
    *("configuration", "data", "evaluation", "inference", "learning/work.py", "networks"),
    *("phantom", "scan", "study", "training", "transforms"),
)
DRAWING = frozenset({"calibration_picture", "cost", "curves", "end_pictures", "page", "report"})


def sources_digests() -> dict[str, str]:
    """SHA-256 of each of `SOURCES` as it is now; modules that only draw or lay out do not count."""
    return {name: _digest(PACKAGE_DIR / name) for name in SOURCES}


def _digest(place: Path) -> str:
    """SHA-256 of the modules of a folder, or of one module."""
    digest = hashlib.sha256()
    for path in [place] if place.suffix else sorted(place.glob("*.py")):
        if path.stem not in DRAWING:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
