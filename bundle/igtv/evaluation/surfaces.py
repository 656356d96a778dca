"""Distances between surfaces in mm, by MONAI with the voxel size given, and the margin that would cover the target."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage
from scipy.spatial import cKDTree

from .masks import crop_to_foreground

NAN = float("nan")
TOLERANCES_MM = (2.0, 3.0)  # 3 mm: the spread between observers (2.6 to 3.3 mm SD); 2 mm: the stricter usual one


def surface_metrics(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Normalised surface Dice, HD95 and mean surface distance of one case.

    NSD weighs surface elements by their area (`use_subvoxels`, the method of DeepMind's surface-distance). HD95 is the
    larger of the two directed 95th percentiles, the mean surface distance is over the border voxels of both masks.
    Where a mask touches the edge of the volume its surface is closed there.

    Args:
        pred: boolean prediction (X, Y, Z).
        label: boolean reference (X, Y, Z).
        spacing_mm: voxel size (x, y, z).

    Returns:
        nsd_2mm, nsd_3mm, hd95_mm, mean_surface_distance_mm. Empty reference: all NaN. Empty prediction of a tumour:
        NSD 0, the distances NaN (no distance to nothing).
    """
    nsd_names = [f"nsd_{tolerance:g}mm" for tolerance in TOLERANCES_MM]
    distances = {"hd95_mm": NAN, "mean_surface_distance_mm": NAN}
    if not label.any():
        return dict.fromkeys(nsd_names, NAN) | distances
    if not pred.any():
        return dict.fromkeys(nsd_names, 0.0) | distances
    pred, label = (torch.from_numpy(mask.copy())[None, None] for mask in crop_to_foreground(pred, label))
    pair = {"y_pred": pred, "y": label, "include_background": True, "spacing": [float(step) for step in spacing_mm]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 calls itself with an option it has deprecated
        return _monai_metrics(pair, nsd_names)


def _monai_metrics(pair: dict, nsd_names: Sequence[str]) -> dict[str, float]:
    nsd = {
        name: compute_surface_dice(class_thresholds=[tolerance], use_subvoxels=True, **pair).item()
        for name, tolerance in zip(nsd_names, TOLERANCES_MM, strict=True)
    }
    return nsd | {
        "hd95_mm": compute_hausdorff_distance(percentile=95, **pair).item(),
        "mean_surface_distance_mm": compute_average_surface_distance(symmetric=True, **pair).item(),
    }


def margin_for_coverage(
    pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], coverage: float = 0.95
) -> float:
    """Smallest isotropic margin in mm which, put around the prediction, covers the given part of the reference.

    A voxel counts as covered when its centre lies within the margin of the centre of a predicted voxel, which is what
    a dilation by distance transform does. Exact, not in steps: the quantile of the distances of the reference voxels.

    Args:
        pred: boolean prediction (X, Y, Z).
        label: boolean reference (X, Y, Z).
        spacing_mm: voxel size (x, y, z).
        coverage: part of the reference to cover, 0 to 1.

    Returns:
        Margin in mm, 0 when that much is covered already; NaN when one of the masks is empty.
    """
    if not (pred.any() and label.any()):
        return NAN
    pred, label = crop_to_foreground(pred, label)
    missed = np.argwhere(label & ~pred)
    n_label = np.count_nonzero(label)
    n_allowed = int(np.floor((1.0 - coverage) * n_label + 1e-9))  # voxels that may stay outside
    if len(missed) <= n_allowed:
        return 0.0
    # The predicted voxel nearest to one outside is always a border voxel: the tree stays small on a whole thorax.
    border = np.argwhere(pred & ~ndimage.binary_erosion(pred))
    distances, _ = cKDTree(border * np.asarray(spacing_mm)).query(missed * np.asarray(spacing_mm))
    return float(np.sort(distances)[len(distances) - n_allowed - 1])
