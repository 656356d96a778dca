"""The run manifest: which program, data, model and settings made a result, without anything personal."""

import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

import monai
import numpy
import torch

from ..files import file_sha256, write_json
from ..networks.model_card import DISCLAIMER
from ..scan import backend_report

METADATA = Path(__file__).resolve().parents[2] / "configs" / "metadata.json"
ENDS_BYTES = 65536
CASE_MANIFEST = "manifest.json"  # of a case, beside its masks
MODEL_MASKS = ("pred.nii.gz", "lesions.nii.gz")  # of a case; its manifest has their SHA-256: people correct them


def run_manifest(
    command: str,
    *,
    config: Mapping[str, Any] | None = None,
    items: Sequence[Mapping[str, Any]] | None = None,
    model_path: str | Path | None = None,
    model_card: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
    seconds: float | None = None,
    **results: Any,
) -> dict[str, Any]:
    """Describe a run; can be written as JSON as it is.

    Args:
        command: what was run, e.g. "training" or "inferring".
        config: settings to keep; of absolute paths only the last part stays.
        items: datalist items used (`ct`, `pet`, optional `label`, `case` or `patient_id`); hashed, see `data_sha256`.
        model_path: checkpoint used or made; hashed.
        model_card: card of that checkpoint, for its name and task.
        device: device of the network.
        seconds: wall-clock time.
        results: further entries, e.g. best_epoch=12.

    Returns:
        The manifest; entries without a value are left out.
    """
    manifest = {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": None if device is None else device_name(device),
        "scan": backend_report(),
        "model": model_entry(model_path, model_card),
        "data": None if items is None else {"cases": len(items), "sha256": data_sha256(items)},
        "config": config,
        "seconds": None if seconds is None else round(seconds, 2),
        **results,
        "disclaimer": DISCLAIMER,
    }
    return {key: json_safe(value) for key, value in manifest.items() if value is not None}


def write_manifest(path: str | Path, manifest: Mapping[str, Any]) -> Path:
    """Write a manifest as JSON in one step."""
    return write_json(path, json_safe(manifest))


def read_case_manifest(folder: Path) -> dict[str, Any]:
    """The manifest that `inferring` left beside the masks of a case; {} where there is none that can be read."""
    try:
        manifest = json.loads((folder / CASE_MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and manifest.get("command") == "inferring" else {}


def was_changed(manifest: Mapping[str, Any], mask: Path) -> bool:
    """Whether a mask is not the file that the manifest of its case speaks of: somebody has edited it since.

    Args:
        manifest: of its case; one without the masks' SHA-256, as of older versions, tells of no change.
        mask: one of `MODEL_MASKS`.
    """
    written = manifest.get("masks")
    return isinstance(written, Mapping) and written.get(mask.name, {}).get("sha256") != file_sha256(mask)


def versions() -> dict[str, str | None]:
    """Versions of this bundle and of what its numbers depend on, and the kind of machine (not its name)."""
    return {
        "bundle": bundle_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "monai": monai.__version__,
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def bundle_version(metadata: Path = METADATA) -> str:
    """Version in metadata.json, "unknown" when the package was copied out of its bundle."""
    if not metadata.is_file():
        return "unknown"
    return str(json.loads(metadata.read_text(encoding="utf-8")).get("version", "unknown"))


def device_name(device: torch.device | str) -> str:
    """Device with the model of the graphics card, e.g. "cuda:0 (NVIDIA H100)"."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_available():
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def model_entry(model_path: str | Path | None, model_card: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Name, task, file name and SHA-256 of the model; the card's hash counts only when there is no file to hash."""
    if model_path is None and model_card is None:
        return None
    card = dict(model_card or {})
    entry = {"name": card.get("name"), "task": card.get("task"), "sha256": card.get("sha256")}
    if model_path is not None:
        entry["file"] = Path(model_path).name
        if Path(model_path).is_file():
            entry["sha256"] = file_sha256(model_path)
        entry["name"] = entry["name"] or Path(model_path).stem
    return entry


def data_sha256(items: Iterable[Mapping[str, Any]], keys: Sequence[str] = ("ct", "pet", "label")) -> str:
    """SHA-256 over case names, labels, and of every image its size, its first and its last 64 kB.

    Independent of the order of the cases and of where the data lies. Reading all of every image would take minutes for
    large data sets; labels are small and are what people change.
    """
    lines = []
    for item in items:
        name = item.get("case") or item.get("patient_id") or Path(item["ct"]).parent.name
        marks = [f"{key}:{_file_mark(Path(item[key]), whole=key == 'label')}" for key in keys if item.get(key)]
        lines.append(f"{name} {' '.join(marks)}")
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def images_sha256(item: Mapping[str, Any]) -> str:
    """SHA-256 of CT and PET of a case, read like those of `data_sha256`, by which it is known under another name."""
    return sha256("".join(_file_mark(Path(item[key]), whole=False) for key in ("ct", "pet")).encode()).hexdigest()


def _file_mark(path: Path, whole: bool) -> str:
    if whole:
        return file_sha256(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        digest = sha256(stream.read(ENDS_BYTES))
        stream.seek(max(0, size - ENDS_BYTES))
        digest.update(stream.read(ENDS_BYTES))
    return f"{size}-{digest.hexdigest()}"


def json_safe(value: Any) -> Any:
    """`value` as JSON can hold it: plain containers and numbers, NaN as null, absolute paths without their folders."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(entry) for entry in value]
    if isinstance(value, (torch.Tensor, numpy.ndarray, numpy.generic)):
        return json_safe(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (str, PurePath)):
        return _without_folders(str(value))
    return str(value)


def _without_folders(text: str) -> str:
    """The last part of an absolute path: folders may name people, and mean nothing elsewhere."""
    path = PurePath(text)
    if (path.is_absolute() or text.startswith("~")) and "\n" not in text:
        return path.name
    return text
