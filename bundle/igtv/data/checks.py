"""Finds out before training which cases cannot be used, and says why.

Headers come first since they are cheap, voxels only of cases whose headers are sound. What tells SUV and HU from
other units is stated beside the limits below; the limits are wide, so that a strange but true case passes.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from .binary import inside_and_others
from .grids import GRID_TOLERANCE_MM, corners_mm, grid_distance_mm

logger = logging.getLogger(__name__)

# 99.9 % of the voxels of a PET in SUV lie far below this even with a full bladder; in Bq/ml tissue starts at thousands.
SUV_CEILING = 150.0
# Blood alone has an SUV of 1 to 2; a PET that stays below this is in MBq/ml or was scaled to 0..1 of something.
SUV_FLOOR = 0.5
# Reconstructions and resampling may undershoot a little below 0; a CT given as PET reaches -1000.
SUV_MINIMUM = -1.0
# Fat and air are below -50 HU in any part of the body; stored values without their offset, and images scaled to 0..1
# or 0..255, are not.
HU_LOWEST_AT_MOST = -50.0
HU_CONTRAST = 100.0
# Share of the CT's volume that the PET must cover.
PET_COVERAGE = 0.5
# Share of the tumour that the PET must cover.
TUMOUR_COVERAGE = 0.95
COVERAGE_POINTS = 16
NIFTI_SUFFIXES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class BadCase:
    """A case that cannot be used, and why; `part` is the list it is missing from, "" while nobody has said."""

    case: str
    problem: str
    part: str = ""


def check_cases(
    cases: Sequence[Mapping[str, str]],
    need_label: bool = True,
    skip_bad_cases: bool = False,
    num_workers: int = 2,
    progress: bool = True,
) -> tuple[list[dict[str, str]], list[BadCase]]:
    """Check every case: files, headers, grids, units, label.

    Args:
        cases: as `datalist.split_cases` gives them.
        need_label: a case without label cannot be used; a label that is there is checked in either case.
        skip_bad_cases: leave bad cases out, with a warning each, instead of an error.
        num_workers: threads that read files.
        progress: show a progress bar.

    Returns:
        The good cases in their order, and the bad ones.

    Raises:
        ValueError: there are bad cases and `skip_bad_cases` is false, or no good case is left; the text names every
            bad case with its first problem.
    """
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        results = pool.map(lambda case: find_problem(case, need_label), cases)
        bar = tqdm(results, total=len(cases), desc="checking", unit="case", disable=not progress or not cases)
        problems = list(bar)
    good = [dict(case) for case, problem in zip(cases, problems, strict=True) if problem is None]
    bad = [BadCase(case["case"], problem) for case, problem in zip(cases, problems, strict=True) if problem is not None]
    if not bad:
        return good, bad
    listing = "\n".join(f"  {entry.case}: {entry.problem}" for entry in bad)
    if not skip_bad_cases:
        raise ValueError(
            f"{len(bad)} of {len(cases)} cases cannot be used:\n{listing}\n"
            "Repair them, take them out of the datalist, or set skip_bad_cases to leave them out."
        )
    if not good:
        raise ValueError(f"none of {len(cases)} cases can be used:\n{listing}")
    for entry in bad:
        logger.warning("case left out: %s: %s", entry.case, entry.problem)
    return good, bad


def find_problem(case: Mapping[str, str], need_label: bool = True) -> str | None:
    """First reason why a case cannot be used, with file and value; None when there is none."""
    try:
        _check_case(case, need_label)
    except _Problem as problem:
        return str(problem)
    return None


class _Problem(Exception):
    """A case cannot be used, for the reason given."""


def _check_case(case: Mapping[str, str], need_label: bool) -> None:
    if need_label and "label" not in case:
        raise _Problem("it has no `label` in the datalist")
    images = {key: _open(key, case[key]) for key in ("ct", "pet", "label") if key in case}
    _check_coverage(images["ct"], images["pet"], case["pet"])
    if "label" in images:
        _check_label_grid(images["label"], images["ct"], case["label"])
        no_tumour = bool(case.get("no_tumour"))
        voxels = _voxels("label", images["label"], case["label"])
        tumour = _tumour_voxels(voxels, f"label {case['label']}", no_tumour)
        if not no_tumour:
            _check_tumour_in_pet(np.argwhere(tumour), images["ct"], images["pet"], case["pet"])
    _check_suv(_voxels("pet", images["pet"], case["pet"]), f"pet {case['pet']}")
    _check_hu(_voxels("ct", images["ct"], case["ct"]), f"ct {case['ct']}")


def _open(key: str, path: str) -> nib.spatialimages.SpatialImage:
    """Read a header: the file is there, is NIfTI, and holds one volume that lies somewhere in space."""
    if not Path(path).is_file():
        raise _Problem(f"{key} {path} does not exist")
    if not path.endswith(NIFTI_SUFFIXES):
        raise _Problem(f"{key} {path} is not a NIfTI file ({' or '.join(NIFTI_SUFFIXES)})")
    try:
        image = nib.load(path)
    except Exception as error:
        raise _Problem(f"{key} {path} cannot be read: {error}") from error
    if len(image.shape) != 3:
        raise _Problem(f"{key} {path} has the shape {image.shape}: one 3-D volume is expected")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-6:
        raise _Problem(f"{key} {path} has an affine without volume: its header does not say where it lies")
    return image


def _voxels(key: str, image: nib.spatialimages.SpatialImage, path: str) -> np.ndarray:
    try:
        voxels = np.asanyarray(image.dataobj)
    except Exception as error:
        raise _Problem(f"{key} {path} cannot be read: {error}") from error
    if voxels.dtype.kind not in "iuf":
        raise _Problem(f"{key} {path} holds values of type {voxels.dtype}: plain numbers are expected")
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int(voxels.size - np.isfinite(voxels).sum())
        raise _Problem(f"{key} {path} holds {count} NaN or infinite voxels")
    return voxels


def _check_coverage(ct: nib.spatialimages.SpatialImage, pet: nib.spatialimages.SpatialImage, path: str) -> None:
    """Share of the CT's volume inside the PET's, on a grid of points through the CT; exact for oblique volumes too."""
    steps = (np.arange(COVERAGE_POINTS) + 0.5) / COVERAGE_POINTS
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) * ct.shape - 0.5
    covered = _share_inside(points, ct, pet)
    if covered < PET_COVERAGE:
        raise _Problem(
            f"pet {path} covers {covered:.0%} of the CT's volume, at least {PET_COVERAGE:.0%} is needed: PET and CT "
            "are not from one examination or not in the same coordinates "
            f"(in mm, CT {_extent(ct)}, PET {_extent(pet)})"
        )


def _check_tumour_in_pet(
    voxels: np.ndarray, ct: nib.spatialimages.SpatialImage, pet: nib.spatialimages.SpatialImage, path: str
) -> None:
    covered = _share_inside(voxels, ct, pet)
    if covered < TUMOUR_COVERAGE:
        raise _Problem(
            f"pet {path} covers {covered:.0%} of the tumour in the label, at least {TUMOUR_COVERAGE:.0%} is needed"
        )


def _share_inside(voxels: np.ndarray, ct: nib.spatialimages.SpatialImage, pet: nib.spatialimages.SpatialImage) -> float:
    """Share of (N, 3) voxel coordinates of the CT that lie inside the PET."""
    in_pet = nib.affines.apply_affine(np.linalg.inv(pet.affine) @ ct.affine, voxels)
    return float(((in_pet >= -0.5) & (in_pet <= np.array(pet.shape) - 0.5)).all(axis=1).mean())


def _extent(image: nib.spatialimages.SpatialImage) -> str:
    """Box around a volume in world coordinates, as text."""
    corners = corners_mm(image.shape, image.affine)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return " x ".join(f"{first:.0f}..{last:.0f}" for first, last in zip(low, high, strict=True))


def _check_label_grid(label: nib.spatialimages.SpatialImage, ct: nib.spatialimages.SpatialImage, path: str) -> None:
    if label.shape != ct.shape:
        raise _Problem(f"label {path} has the shape {label.shape}, its CT {ct.shape}: draw or resample it on the CT")
    distance = grid_distance_mm(ct.shape, label.affine, ct.affine)
    if distance > GRID_TOLERANCE_MM:
        raise _Problem(
            f"label {path} is not on the CT's grid: corners up to {distance:.1f} mm apart, at most "
            f"{GRID_TOLERANCE_MM} mm is rounding (in mm, CT {_extent(ct)}, label {_extent(label)})"
        )


def _tumour_voxels(voxels: np.ndarray, what: str, no_tumour: bool) -> np.ndarray:
    """Where a label marks tumour, boolean; it must hold 0 and 1 alone, and mark something unless there is nothing."""
    tumour, others = inside_and_others(voxels)
    if others.size:
        values = list(dict.fromkeys(f"{value:.7g}" for value in np.unique(voxels)))
        shown = ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
        raise _Problem(f"{what} holds the values {shown}: 0 (background) and 1 (tumour) are expected")
    marked = int(np.count_nonzero(tumour))
    if no_tumour and marked:
        raise _Problem(f"{what} marks {marked} voxels as tumour, but `no_tumour` says that there is none")
    if not no_tumour and not marked:
        raise _Problem(f"{what} is empty: no voxel is marked as tumour")
    return tumour


def _check_suv(voxels: np.ndarray, what: str) -> None:
    low, high = float(voxels.min()), float(voxels.max())
    unit = "SUV (body weight, g/ml) is expected"
    if low == high:
        raise _Problem(f"{what} holds {low:g} everywhere: {unit}")
    if low < SUV_MINIMUM:
        raise _Problem(f"{what} goes down to {low:g}: {unit}, which is not negative; is it a CT?")
    if high < SUV_FLOOR:
        raise _Problem(f"{what} has a maximum of {high:g}, too low for SUV: {unit}; is it in MBq/ml, or scaled?")
    typical = float(np.percentile(voxels, 99.9))
    if typical > SUV_CEILING:
        raise _Problem(
            f"{what} is not in SUV: its 99.9th percentile is {typical:g}, above {SUV_CEILING:g}, as in Bq/ml or raw "
            f"counts: {unit}"
        )


def _check_hu(voxels: np.ndarray, what: str) -> None:
    low, high = float(voxels.min()), float(voxels.max())
    if high - low < HU_CONTRAST or low > HU_LOWEST_AT_MOST:
        raise _Problem(
            f"{what} is not in HU: its values go from {low:g} to {high:g}, but fat and air are below "
            f"{HU_LOWEST_AT_MOST:g} HU; is the rescale offset missing, or was it scaled?"
        )
