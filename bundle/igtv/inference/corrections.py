"""Masks that people corrected in place stay when their case is segmented once more."""

import json
import logging
from pathlib import Path

from ..files import file_sha256
from .manifest import CASE_MANIFEST, MODEL_MASKS

SUFFIX = ".nii.gz"

logger = logging.getLogger(__name__)


def keep_corrections(folder: Path) -> list[Path]:
    """Give masks that are no longer what the network wrote another name, so that nothing is written over them.

    Args:
        folder: of a case, with the manifest of its last segmentation; without one nothing in it counts as corrected.

    Returns:
        The new paths: `pred_corrected.nii.gz`, or with the next free number, `pred_corrected_2.nii.gz`.
    """
    written = _written(folder)
    kept = []
    for name in MODEL_MASKS:
        path = folder / name
        if not written or not path.is_file() or file_sha256(path) == written.get(name):
            continue
        target = _free_name(path)
        path.rename(target)
        logger.warning("Case %s: %s was changed since it was made and is kept as %s", folder.name, name, target.name)
        kept.append(target)
    return kept


def _written(folder: Path) -> dict[str, str]:
    """SHA-256 of the masks as the network left them."""
    try:
        manifest = json.loads((folder / CASE_MANIFEST).read_text(encoding="utf-8"))
        return {name: entry["sha256"] for name, entry in manifest["masks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _free_name(path: Path) -> Path:
    stem = path.name.removesuffix(SUFFIX) + "_corrected"
    target, number = path.with_name(stem + SUFFIX), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{stem}_{number}{SUFFIX}")
    return target
