"""How a tumour moves over the phases of a 4D-CT: amplitudes, volumes, a curve.

Positions are centroids in patient coordinates; amplitude is the distance between the extreme positions along one axis
(SI: head to feet, AP, LR). More than 5 mm along any axis is where the AAPM's TG-76 report advises motion management.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing
from .phases import PhaseName

MANAGE_MOTION_MM = 5.0
# Patient axes of DICOM (LPS), and the sign that makes superior, anterior and the patient's left positive.
AXES = {"si": (2, 1.0), "ap": (1, -1.0), "lr": (0, 1.0)}
AXIS_WORDS = {"si": "SI (superior +)", "ap": "AP (anterior +)", "lr": "LR (left +)"}
# Tissue around the GTV that its shift is measured on; without a rim of lung an edge has no contrast.
RIM_MM = 8.0
SEARCH_MM = 30.0


def motion_of_masks(masks: Mapping[PhaseName, sitk.Image]) -> dict:
    """Motion report of contoured phases.

    Args:
        masks: phase -> GTV (uint8, non-zero inside), in the order of breathing.

    Returns:
        JSON-ready: `phases` with `volume_ml` and `centroid_lps_mm`, `amplitude_mm` (si, ap, lr, and the largest
        distance between two positions), `volume_change` (largest over smallest), `manage_motion`.

    Raises:
        ValueError: a mask is empty.
    """
    rows = []
    for name, mask in masks.items():
        volume, centroid = measure(mask)
        if volume == 0:
            raise ValueError(f"motion report: the GTV of phase {name} is empty")
        rows.append({"phase": str(name), "volume_ml": round(volume, 3), "centroid_lps_mm": _rounded(centroid)})
    report = _summary([row["centroid_lps_mm"] for row in rows])
    volumes = [row["volume_ml"] for row in rows]
    report |= {"phases": rows, "measured": "centroids of the contours of every phase"}
    report["volume_change"] = round(max(volumes) / min(volumes), 3)
    return report


def motion_by_registration(
    phases: Iterable[tuple[PhaseName, sitk.Image]], fixed: sitk.Image, mask: sitk.Image, reference: PhaseName
) -> dict:
    """Estimate for one contoured phase: how far its GTV must be shifted to fit the image of each other phase.

    No contour is made for the other phases; the volume of the GTV there is not known.

    Args:
        phases: each phase with its CT in HU, in the order of breathing, one grid.
        fixed: CT of the phase `reference`.
        mask: GTV of the phase `reference`, on that grid.
        reference: the contoured phase.

    Returns:
        As `motion_of_masks`, without volumes but that of the reference.
    """
    volume, centre = measure(mask)
    rows = []
    for name, image in phases:
        shift = np.zeros(3) if name == reference else _shift(fixed, image, mask)
        rows.append({"phase": str(name), "centroid_lps_mm": _rounded(centre + shift)})
    report = _summary([row["centroid_lps_mm"] for row in rows])
    measured = (
        f"estimated: shift of the GTV of phase {reference} that fits each phase's image best; the other phases have "
        "no contour, and no IGTV was made"
    )
    return report | {"phases": rows, "measured": measured, "gtv_volume_ml": round(volume, 3), "volume_change": None}


def motion_without_contours(phases: Sequence[PhaseName]) -> dict:
    """What can be said of a 4D-CT without contours: its phases, and that motion is not measured."""
    return {
        "phases": [{"phase": str(name)} for name in phases],
        "amplitude_mm": None,
        "volume_change": None,
        "manage_motion": None,
        "measured": "not measured: no phase has a GTV contour",
    }


def measure(mask: sitk.Image) -> tuple[float, np.ndarray]:
    """Volume in ml and centroid (LPS, mm; NaN for an empty mask)."""
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask) != 0)
    volume = len(inside) * float(np.prod(mask.GetSpacing())) / 1000
    if not len(inside):
        return 0.0, np.full(3, np.nan)
    return volume, np.array(mask.TransformContinuousIndexToPhysicalPoint(inside.mean(axis=0)[::-1].tolist()))


def save_motion_curve(path: str | Path, report: dict, title: str) -> None:
    """Write a PNG: displacement along the three axes over the phases, and the volume where it is known.

    Args:
        path: file to write.
        report: from this module, with centroids or `lung_volume_ml` in its phases.
        title: heading; no patient's name.
    """
    rows = report["phases"]
    names = [row["phase"] for row in rows]
    curves = []
    if "centroid_lps_mm" in rows[0]:
        centroids = np.array([row["centroid_lps_mm"] for row in rows])
        moved = centroids - centroids[0]
        curves.append(("displacement from the first phase, mm", "line", moved))
    for key, label in (("volume_ml", "GTV, ml"), ("lung_volume_ml", "air-filled lung, ml")):
        if all(key in row for row in rows):
            curves.append((label, "bar", np.array([row[key] for row in rows])))
    figure = Figure(figsize=(9.0, 2.6 * len(curves) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for panel, (label, style, values) in zip(figure.subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
        if style == "line":
            for key, (axis, sign) in AXES.items():
                amplitude = report["amplitude_mm"][key]
                panel.plot(names, sign * values[:, axis], marker="o", label=f"{AXIS_WORDS[key]}: {amplitude:.1f} mm")
            panel.legend(fontsize=8)
        else:
            panel.plot(names, values, marker="s", color="0.3")
        panel.set_ylabel(label, fontsize=8)
        panel.grid(alpha=0.3)
    panel.set_xlabel("phase of breathing")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)


def _summary(centroids: Sequence[Sequence[float]]) -> dict:
    points = np.asarray(centroids, dtype=float)
    extent = np.ptp(points, axis=0)
    amplitude = {key: round(float(extent[axis]), 2) for key, (axis, _) in AXES.items()}
    between = np.linalg.norm(points[:, None] - points[None], axis=-1)
    amplitude["largest_distance"] = round(float(between.max()), 2)
    return {"amplitude_mm": amplitude, "manage_motion": bool(extent.max() > MANAGE_MOTION_MM)}


def _rounded(point: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in point]


def _shift(fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image) -> np.ndarray:
    """Translation (LPS, mm) from `fixed` to `moving` of what lies in and around the mask."""
    spacing = np.array(fixed.GetSpacing())
    region = sitk.BinaryDilate(sitk.Cast(mask != 0, sitk.sitkUInt8), [max(1, round(RIM_MM / s)) for s in spacing])
    box = _box(region, np.ceil(SEARCH_MM / spacing).astype(int))
    cut = [
        sitk.Clamp(sitk.Cast(image[box], sitk.sitkFloat32), sitk.sitkFloat32, -1000, 200) for image in (fixed, moving)
    ]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricFixedMask(region[box])
    method.SetInterpolator(sitk.sitkLinear)
    start = sitk.TranslationTransform(3, _best_step(cut[0], cut[1], region[box]).tolist())
    method.SetInitialTransform(start, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=0.005, numberOfIterations=100, relaxationFactor=0.6
    )
    method.Execute(*cut)
    return np.array(start.GetParameters())


def _best_step(fixed: sitk.Image, moving: sitk.Image, region: sitk.Image) -> np.ndarray:
    """Shift by whole slices with the smallest squared difference: a start within half a slice of the answer."""
    one, other = (sitk.GetArrayViewFromImage(image) for image in (fixed, moving))
    inside = sitk.GetArrayViewFromImage(region) != 0
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    reach = min(int(SEARCH_MM / fixed.GetSpacing()[2]), slices[0], len(one) - 1 - slices[-1])
    steps = list(range(-reach, reach + 1))
    costs = [float(((one - np.roll(other, -step, axis=0))[inside] ** 2).mean()) for step in steps]
    normal = np.array(fixed.GetDirection()).reshape(3, 3)[:, 2]
    return normal * steps[int(np.argmin(costs))] * fixed.GetSpacing()[2]


def _box(region: sitk.Image, margin: np.ndarray) -> tuple[slice, slice, slice]:
    inside = np.argwhere(sitk.GetArrayViewFromImage(region) != 0)[:, ::-1]
    low = np.maximum(inside.min(axis=0) - margin, 0)
    high = np.minimum(inside.max(axis=0) + margin + 1, region.GetSize())
    return tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
