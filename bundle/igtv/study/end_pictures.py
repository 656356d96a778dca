"""End slices of the same patient in several arms: what pre-training and slice interaction change there."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..evaluation.masks import slice_extent
from ..evaluation.volumes import load_case
from ..files import replacing
from .outcome import Row, per_patient

WINDOW_HU = (-1350.0, 150.0)
HALF_WIDTH_MM = 45.0
REFERENCE, PREDICTION = "#00e5ff", "#7cff4f"


QUARTILES = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}


def pictured_cases(rows: Sequence[Row]) -> dict[str, str]:
    """Cases at the quartiles of the mean Dice of all given rows: chosen by rule, favouring no arm.

    Args:
        rows: of the arms to show, all at one size.

    Returns:
        Of `QUARTILES` -> case; of few cases one may stand for several.
    """
    means = per_patient([{**row, "patient": row["case"]} for row in rows], "dice")
    order = sorted(means, key=lambda case: (means[case], case))
    return {name: order[round(part * (len(order) - 1))] for name, part in QUARTILES.items()}


def save_end_slices(path: str | Path, case: Mapping[str, str], masks: Mapping[str, np.ndarray], rank: str) -> None:
    """One row per arm; columns: the two superior slices of the reference, its middle, the two inferior ones.

    Args:
        path: PNG file.
        case: `case`, `ct`, `pet`, `label`.
        masks: arm -> boolean mask (X, Y, Z) in RAS on the label's grid.
        rank: of the case among the tested, for the title, such as "median".
    """
    volumes = load_case(case, ("label", "ct", "pet"))
    label = volumes["label"] > 0.5
    low, high = slice_extent(label)
    slices = [high, max(low, high - 1), (low + high) // 2, min(high, low + 1), low]
    names = ["superior end", "next to it", "middle", "next to it", "inferior end"]
    window = _window(label, volumes["spacing_mm"])
    suv_max = max(4.0, float(np.percentile(volumes["pet"][label], 95)))
    figure = Figure(figsize=(2.1 * len(slices), 2.2 * len(masks) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(masks), len(slices), squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name, fontsize=8)
    for row, (arm, mask) in zip(panels, masks.items(), strict=True):
        for axes, index in zip(row, slices, strict=True):
            planes = [volume[(*window, index)].T for volume in (volumes["ct"], volumes["pet"], label, mask)]
            _draw(axes, planes, suv_max)
        row[0].set_ylabel(arm.replace("_", " "), fontsize=8)
    title = f"{case['case']} ({rank.replace('_', ' ')}): reference blue, prediction green, PET 0 to SUV {suv_max:.0f}"
    figure.suptitle(title, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _draw(axes, planes: Sequence[np.ndarray], suv_max: float) -> None:
    ct, pet, label, mask = planes
    axes.imshow(ct, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], origin="lower")
    opacity = 0.7 * np.clip(pet / suv_max, 0, 1)
    axes.imshow(pet, cmap="hot", vmin=0, vmax=suv_max, alpha=opacity, origin="lower")
    for plane, colour in ((label, REFERENCE), (mask, PREDICTION)):
        if plane.any() and not plane.all():
            axes.contour(plane.astype(float), levels=[0.5], colors=colour, linewidths=1.2)
    axes.set(xticks=[], yticks=[])
    axes.invert_xaxis()  # the patient's right on the left, as radiologists look at it


def _window(label: np.ndarray, spacing_mm: Sequence[float]) -> tuple[slice, slice]:
    """In-plane window around the target, at least 90 mm wide."""
    window = []
    for axis in range(2):
        filled = np.flatnonzero(label.any(axis=tuple(other for other in range(3) if other != axis)))
        centre = (filled[0] + filled[-1]) / 2
        half = max(HALF_WIDTH_MM / spacing_mm[axis], (filled[-1] - filled[0]) / 2 + 6)
        window.append(slice(max(0, int(centre - half)), int(centre + half) + 1))
    return tuple(window)
