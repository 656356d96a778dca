"""A picture of a few cases: CT and PET with the target's outline, to see at a glance what a data set holds."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import affine_transform

from ..files import replacing
from .case import Case
from .grid import Grid

LUNG_WINDOW_HU = (-1000.0, 400.0)
SUV_SHOWN = (0.0, 8.0)
PICTURED_CASES = 4


def pet_on_ct_grid(pet: np.ndarray, pet_grid: Grid, grid: Grid) -> np.ndarray:
    """PET resampled linearly to the CT's grid, (X, Y, Z)."""
    step = np.asarray(grid.spacing_mm) / pet_grid.spacing_mm
    start = (np.asarray(grid.origin_mm) - pet_grid.origin_mm) / pet_grid.spacing_mm
    return affine_transform(pet, step, offset=start, output_shape=grid.shape, order=1, mode="nearest")


def save_overview(path: str | Path, cases: list[Case]) -> None:
    """Write a PNG with one row per case: axial CT and PET, coronal CT and PET through the middle of the target.

    Args:
        path: file to write.
        cases: what to show.
    """
    figure = Figure(figsize=(13.0, 3.1 * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(cases), 4, squeeze=False)
    for row, case in zip(panels, cases, strict=True):
        _draw_case(row, case)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80)


def _draw_case(row, case: Case) -> None:
    pet = pet_on_ct_grid(case.pet, case.pet_grid, case.grid)
    middle = [int(np.median(indices)) for indices in np.nonzero(case.label)]
    views = ((np.s_[:, :, middle[2]], case.grid.spacing_mm[:2]), (np.s_[:, middle[1], :], case.grid.spacing_mm[::2]))
    for (cut, spacing), panels, name in zip(views, (row[:2], row[2:]), ("axial", "coronal"), strict=True):
        for panel, volume, limits, colours in (
            (panels[0], case.ct, LUNG_WINDOW_HU, "gray"),
            (panels[1], pet, SUV_SHOWN, "hot"),
        ):
            panel.imshow(
                volume[cut].T,
                origin="lower",
                cmap=colours,
                vmin=limits[0],
                vmax=limits[1],
                aspect=spacing[1] / spacing[0],
            )
            panel.contour(case.label[cut].T, levels=[0.5], colors="lime", linewidths=1.0)
            # radiological view: the patient's right side on the left of the picture
            panel.invert_xaxis()
            panel.set_axis_off()
        panels[0].set_title(f"\n{name} CT ({case.metadata['ct_kind']})", fontsize=8)
        panels[1].set_title(f"\n{name} PET, SUV 0-8", fontsize=8)
    # it runs on above the other panels, which must not make room for it; their titles leave it a line
    place = {"xycoords": "axes fraction", "xytext": (0, 17), "textcoords": "offset points"}
    row[0].annotate(_caption(case), (0.0, 1.0), fontsize=9, **place).set_in_layout(False)


def _caption(case: Case) -> str:
    facts = case.metadata
    if "source_case" in facts:
        volumes = f"tumour {facts['source_volume_ml']:.0f} ml, swept {facts['label_volume_ml']:.0f} ml"
        what = f"breathing {facts['cycle']} put into {facts['source_case']}, {volumes}"
    else:
        what = f"{facts['lobe']} lobe, {facts['site']}, {facts['kind']}"
    return f"{case.case_id}: {what}, {facts['excursion']['si_mm']:.0f} mm SI, SUV {facts['tumour_suv']:.1f}"
