"""Reading the volumes of a case onto one grid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch

from ..data.case_names import check_case_name
from ..data.grids import same_grid

OUTSIDE = {"ct": "border", "pet": "zeros"}  # what lies where a volume ends earlier than the reference's grid


def case_name(case: Mapping) -> str:
    """Name of a case: its `case`, else its `patient_id`, else the folder of its CT (or label).

    Raises:
        ValueError: no name to be had, or one that cannot be a folder name.
    """
    name = case.get("case", case.get("patient_id"))
    if name is None:
        source = next((case[key] for key in ("ct", "label") if isinstance(case.get(key), str | os.PathLike)), None)
        if source is None:
            raise ValueError(
                f"a case needs a name under `case`, or a path under `ct` or `label`; it has {sorted(case)}"
            )
        name = Path(source).parent.name
    return check_case_name(str(name))


def patient_name(case: Mapping) -> str:
    """Patient of a case: its `patient` or `patient_id`; a case that names none is a patient of its own."""
    return str(case.get("patient") or case.get("patient_id") or case_name(case))


def load_volume(path: str | os.PathLike, case: str, what: str) -> MetaTensor:
    """Read one NIfTI volume, channel first (1, X, Y, Z), axes turned to RAS, scale factors applied.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a volume of three axes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{case}: the {what} is missing: {path}")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    if len(image.shape) != 3:
        raise ValueError(f"{case}: the {what} must have three axes, not shape {image.shape}: {path}")
    values = torch.from_numpy(np.ascontiguousarray(image.get_fdata(dtype=np.float32, caching="unchanged")))
    return MetaTensor(values[None], affine=torch.from_numpy(image.affine))


def load_case(case: Mapping, keys: Sequence[str] = ("pred", "label", "ct", "pet")) -> dict:
    """Read what is there of prediction, reference, CT and PET of one case, all on the grid of the reference.

    CT and PET on another grid are interpolated to it. A prediction on another grid is an error: resampling would
    change what is measured. Arrays are taken as they are and need `spacing_mm` in the case.

    Args:
        case: `label` and any of `pred`, `ct`, `pet`: paths, or arrays (X, Y, Z) in RAS with `spacing_mm`.
        keys: what to read.

    Returns:
        The arrays (X, Y, Z) by key, None for what the case does not have, and `spacing_mm` (x, y, z).

    Raises:
        FileNotFoundError: a named file is missing.
        ValueError: no label, prediction on another grid, or arrays without `spacing_mm`.
    """
    name = case_name(case)
    if case.get("label") is None:
        raise ValueError(f"{name}: evaluation needs a reference, and the case has no `label`")
    grid = load_volume(case["label"], name, "label") if _is_path(case["label"]) else None
    volumes = {}
    for key in keys:
        source = case.get(key)
        if source is None or not _is_path(source):
            volumes[key] = None if source is None else np.asarray(source)
        elif key == "label":
            volumes[key] = grid[0].numpy()
        else:
            volumes[key] = _on_grid(load_volume(source, name, key), grid, name, key)
    if grid is None and "spacing_mm" not in case:
        raise ValueError(f"{name}: arrays need their voxel size under `spacing_mm` (x, y, z)")
    spacing = case["spacing_mm"] if grid is None else grid.pixdim.tolist()
    return volumes | {"spacing_mm": tuple(float(value) for value in spacing)}


def _is_path(source) -> bool:
    return isinstance(source, str | os.PathLike)


def _on_grid(volume: MetaTensor, grid: MetaTensor | None, name: str, key: str) -> np.ndarray:
    if grid is None or same_grid(volume.shape[1:], volume.affine.numpy(), grid.shape[1:], grid.affine.numpy()):
        return volume[0].numpy()
    if key == "pred":
        raise ValueError(
            f"{name}: the prediction lies on another grid than the label "
            f"({tuple(volume.shape[1:])} and {tuple(grid.shape[1:])} voxels): write it on the grid of the CT"
        )
    return ResampleToMatch(mode="bilinear", padding_mode=OUTSIDE[key])(volume, grid)[0].numpy()
