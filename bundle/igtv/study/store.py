"""JSON files of the study: written whole or not at all, paths as they are."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import replacing


def save_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write JSON; NaN, which JSON does not know, becomes null."""
    text = json.dumps(_known(content), indent=2, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load_json(path: str | Path) -> dict[str, Any] | None:
    """Content of a JSON file, None where there is none."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _known(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_known(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
