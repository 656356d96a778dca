"""Masks that people corrected in place stay when their case is segmented once more."""

import logging
from pathlib import Path

from ..files import free_path
from .manifest import MODEL_MASKS, read_case_manifest, was_changed

SUFFIX = ".nii.gz"

logger = logging.getLogger(__name__)


def keep_corrections(folder: Path) -> list[Path]:
    """Give masks that are no longer what the network wrote another name, so that nothing is written over them.

    Args:
        folder: of a case, with the manifest of its last segmentation; without one nothing in it counts as corrected.

    Returns:
        The new paths: `pred_corrected.nii.gz`, or with the next free number, `pred_corrected_2.nii.gz`.
    """
    manifest = read_case_manifest(folder)
    kept = []
    for name in MODEL_MASKS:
        path = folder / name
        if not path.is_file() or not was_changed(manifest, path):
            continue
        target = free_path(path.with_name(f"{name.removesuffix(SUFFIX)}_corrected{SUFFIX}"), SUFFIX)
        path.rename(target)
        logger.warning("Case %s: %s was changed since it was made and is kept as %s", folder.name, name, target.name)
        kept.append(target)
    return kept
