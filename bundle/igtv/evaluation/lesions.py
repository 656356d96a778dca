"""Lesion-wise counts and volumes in the style of the autoPET challenges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .masks import NEIGHBOURS, crop_to_foreground


def lesion_metrics(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Found, missed and invented lesions.

    A lesion is a connected component (18 neighbours). A reference lesion is found (TP) when at least one of its voxels
    is predicted, else missed (FN); a predicted component that touches no reference voxel is a false positive (FP).
    FPV and FNV are the volumes of the FP and FN components (autoPET, https://autopet.grand-challenge.org).

    Args:
        pred: boolean prediction (X, Y, Z).
        label: boolean reference (X, Y, Z).
        spacing_mm: voxel size (x, y, z).

    Returns:
        lesion_tp, lesion_fp, lesion_fn (counts), false_positive_ml, false_negative_ml; never NaN.
    """
    pred, label = crop_to_foreground(pred, label)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    found, missed, missed_voxels = _hit_and_missed(label, pred)
    _, invented, invented_voxels = _hit_and_missed(pred, label)
    return {
        "lesion_tp": found,
        "lesion_fp": invented,
        "lesion_fn": missed,
        "false_positive_ml": invented_voxels * voxel_ml,
        "false_negative_ml": missed_voxels * voxel_ml,
    }


def _hit_and_missed(mask: np.ndarray, other: np.ndarray) -> tuple[int, int, int]:
    """Components of `mask` that `other` touches, components it does not, and the voxels of the latter."""
    components, count = ndimage.label(mask, structure=NEIGHBOURS)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    touched = np.zeros(count + 1, dtype=bool)
    touched[np.unique(components[other])] = True
    touched[0] = True
    untouched = np.flatnonzero(~touched)
    return count - len(untouched), len(untouched), int(sizes[untouched].sum())
