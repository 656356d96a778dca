"""Voxel overlap: Dice, coverage, volumes, centroids, and the counts that the pooled metrics of CIPA are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .masks import crop_to_foreground

NAN = float("nan")


def dice(pred: np.ndarray, label: np.ndarray) -> float:
    """Dice of two boolean masks of any shape: 2 |P and R| / (|P| + |R|); NaN when the reference is empty."""
    n_label = np.count_nonzero(label)
    if n_label == 0:
        return NAN
    return 2.0 * np.count_nonzero(pred & label) / (np.count_nonzero(pred) + n_label)


def volume_metrics(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Dice, coverage and volumes of one case.

    Coverage is |P and R| / |R|, the part of the reference inside the prediction. Missed volume is |R without P|,
    excess volume |P without R|. The volume error is prediction minus reference: negative means too small.

    Args:
        pred: boolean prediction (X, Y, Z).
        label: boolean reference (X, Y, Z).
        spacing_mm: voxel size (x, y, z).

    Returns:
        Numbers by name. An empty reference leaves Dice, coverage and the relative volume error NaN, volumes are kept.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    n_pred, n_label = np.count_nonzero(pred), np.count_nonzero(label)
    n_both = np.count_nonzero(pred & label)
    return {
        "volume_reference_ml": n_label * voxel_ml,
        "volume_prediction_ml": n_pred * voxel_ml,
        "volume_error_ml": (n_pred - n_label) * voxel_ml,
        "volume_error_percent": 100.0 * (n_pred - n_label) / n_label if n_label else NAN,
        "dice": 2.0 * n_both / (n_pred + n_label) if n_label else NAN,
        "coverage": n_both / n_label if n_label else NAN,
        "missed_ml": (n_label - n_both) * voxel_ml,
        "excess_ml": (n_pred - n_both) * voxel_ml,
    }


def centroid_shift(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Centroid of the prediction minus that of the reference in mm: x to the right, y anterior, z superior.

    The z component is the one that breathing biases: PET contours sit too far superior (domain knowledge of 4-D PET).
    NaN when one of the masks is empty.
    """
    names = ("centroid_shift_x_mm", "centroid_shift_y_mm", "centroid_shift_z_mm")
    if not (pred.any() and label.any()):
        return dict.fromkeys(names, NAN)
    pred, label = crop_to_foreground(pred, label)
    shift = (np.argwhere(pred).mean(axis=0) - np.argwhere(label).mean(axis=0)) * np.asarray(spacing_mm)
    return dict(zip(names, map(float, shift), strict=True))


COUNTS = ("tp_voxels", "fp_voxels", "fn_voxels", "tn_voxels")


def voxel_counts(pred: np.ndarray, label: np.ndarray) -> dict[str, int]:
    """Counts for the pooled metrics, over all slices and over the slices that hold reference (suffix `_tumour`)."""
    counts = dict(zip(COUNTS, _confusion(pred, label), strict=True))
    with_tumour = label.any(axis=(0, 1))
    tumour = _confusion(pred[..., with_tumour], label[..., with_tumour])
    return counts | {f"{name}_tumour": value for name, value in zip(COUNTS, tumour, strict=True)}


def _confusion(pred: np.ndarray, label: np.ndarray) -> tuple[int, int, int, int]:
    n_pred, n_label, n_both = np.count_nonzero(pred), np.count_nonzero(label), np.count_nonzero(pred & label)
    return n_both, n_pred - n_both, n_label - n_both, pred.size - n_pred - n_label + n_both


def pooled_metrics(rows: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Dice, IoU and "Acc" of the published CIPA code: pixel counts summed over all slices of all patients.

    Large tumours rule this number, so it stands beside the mean over patients, not in its place. "Acc" is the mean of
    sensitivity and specificity. CIPA's test slices all hold tumour, so the pool of tumour slices is the comparable
    one; the pool of all slices also pays for false positives elsewhere.

    Args:
        rows: rows that hold the counts of `voxel_counts`.

    Returns:
        {"all_slices": {"dice", "iou", "acc"}, "tumour_slices": the same}; NaN where a denominator is 0.
    """
    rows = list(rows)
    pooled = {}
    for name, suffix in (("all_slices", ""), ("tumour_slices", "_tumour")):
        tp, fp, fn, tn = (float(sum(row[count + suffix] for row in rows)) for count in COUNTS)
        sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
        pooled[name] = {
            "dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "iou": _ratio(tp, tp + fp + fn),
            "acc": (sensitivity + specificity) / 2,
        }
    return pooled


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NAN
