"""JSON content of the study: read where it is, told apart by its digest."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def load_json(path: str | Path) -> dict[str, Any] | None:
    """Content of a JSON file, None where there is none."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
