"""Checks and small helpers for binary masks in space, axes (X, Y, Z) in RAS: z increases towards superior."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..data.binary import inside_and_others

# Voxels that share a face or an edge belong together: the rule of the autoPET challenges (18 neighbours).
NEIGHBOURS = ndimage.generate_binary_structure(3, 2)


def as_binary_mask(mask, name: str) -> np.ndarray:
    """Turn a mask into a boolean array and refuse everything that is not one.

    Args:
        mask: array-like of shape (X, Y, Z) with the values 0 and 1, but for the rounding of a file's scale factor.
        name: what the mask is, for the error text ("prediction of STS_001").

    Returns:
        Boolean array (X, Y, Z).

    Raises:
        ValueError: not three axes, or values other than 0 and 1 (a probability map, several labels, NaN).
    """
    array = np.asarray(mask)
    if array.ndim != 3:
        raise ValueError(f"{name} must have three axes (X, Y, Z), not shape {array.shape}: take the channel axis off")
    if array.dtype == bool:
        return array
    if array.size == 0:
        raise ValueError(f"{name} has no voxels (shape {array.shape})")
    binary, others = inside_and_others(array)
    if others.size:
        raise ValueError(f"{name} must hold only 0 and 1, but also holds {others[0]:.7g}: apply a threshold first")
    return binary


def mask_sha256(mask: np.ndarray) -> str:
    """Hash of a boolean mask (X, Y, Z): its shape and which voxels are inside."""
    return hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()


def check_pair(pred, label, spacing_mm: Sequence[float], case: str = "case") -> tuple[np.ndarray, np.ndarray, tuple]:
    """Check prediction, reference and voxel size together.

    Args:
        pred: predicted mask (X, Y, Z), values 0 and 1.
        label: reference mask of the same shape.
        spacing_mm: voxel size (x, y, z) in mm.
        case: name of the case, for the error text.

    Returns:
        Boolean prediction, boolean reference, voxel size as a tuple of three floats.

    Raises:
        ValueError: shapes differ, values are not 0 and 1, or the voxel size is not three positive numbers.
    """
    pred, label = as_binary_mask(pred, f"prediction of {case}"), as_binary_mask(label, f"reference of {case}")
    if pred.shape != label.shape:
        raise ValueError(
            f"{case}: prediction {pred.shape} and reference {label.shape} differ in shape: "
            "bring both to the grid of the CT first"
        )
    spacing = tuple(float(value) for value in spacing_mm)
    if len(spacing) != 3 or not all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise ValueError(f"{case}: voxel size must be three positive numbers in mm, not {tuple(spacing_mm)}")
    return pred, label, spacing


def crop_to_foreground(*masks: np.ndarray, margin: int = 0) -> tuple[np.ndarray, ...]:
    """Cut masks of one shape to the box that holds the foreground of all of them, `margin` voxels wider.

    Distances between the masks stay what they are; a 512 x 512 x 200 volume becomes a small one. All-empty masks
    come back as they are.
    """
    box = bounding_box(np.logical_or.reduce(masks)) if len(masks) > 1 else bounding_box(masks[0])
    if box is None:
        return masks
    window = tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, masks[0].shape, strict=True)
    )
    return tuple(mask[window] for mask in masks)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds all of a mask, as a slice per axis; None for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if filled.size == 0:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def slice_extent(mask: np.ndarray) -> tuple[int, int] | None:
    """Lowest (inferior) and highest (superior) axial slice index of a mask (X, Y, Z); None for an empty mask."""
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    return (int(filled[0]), int(filled[-1])) if filled.size else None


def number_lesions(mask: np.ndarray) -> np.ndarray:
    """Connected parts (18 neighbours) of a mask as a map of their numbers, 1 for the largest; of equals the first one.

    Args:
        mask: (X, Y, Z), non-zero inside.

    Returns:
        Integers of the same shape, 0 outside.
    """
    mask = np.asarray(mask) != 0
    box = bounding_box(mask)
    if box is None:
        return np.zeros(mask.shape, np.uint8)
    parts, count = ndimage.label(mask[box], NEIGHBOURS)  # a tumour fills a thousandth of a thorax
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = np.zeros(count + 1, np.uint8 if count < 256 else np.int32)
    order[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, count + 1)
    numbers = np.zeros(mask.shape, order.dtype)
    numbers[box] = order[parts]
    return numbers


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected component (18 neighbours) of a mask (X, Y, Z); of equals the first one."""
    return number_lesions(mask) == 1
