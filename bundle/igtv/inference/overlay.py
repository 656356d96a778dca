"""Overlay pictures: CT in lung window, PET on top, the outlines of the masks, at the slices that matter for an IGTV.

Radiological convention throughout: the patient's right is on the left of axial and coronal panels, anterior is up in
axial and on the left in sagittal panels, superior is up in coronal and sagittal panels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from PIL import Image

from ..files import replacing

LUNG_WINDOW_HU = (-1350.0, 150.0)  # level -600, width 1500
CONTOUR_COLOURS = ("#00e5ff", "#7cff4f", "#ff5cf4", "#ffd84d", "#6fa8ff", "#ff8f6b")
PROBABILITY_LEVELS = (0.25, 0.75)
PROBABILITY_COLOUR = "#ffffff"
BACKGROUND = "#101216"
TEXT = "#e8eaed"
FAINT = "#9aa0a6"
AXIAL_MARGIN_MM = 35.0
AXIAL_MINIMUM_MM = 110.0
PET_OPACITY = 0.75
DISCLAIMER = "Research software, not a medical device."

_OUTLINED = [withStroke(linewidth=2.5, foreground="#000000b0")]  # readable on lung and on soft tissue alike

# Figures are independent, but matplotlib's font cache is shared: one picture is drawn at a time.
_drawing = threading.Lock()


@dataclass(frozen=True)
class _Panel:
    """One plane through the volume: `index` along `axis`, shown with `columns` and `rows` as array axes."""

    name: str
    axis: int
    index: int

    @property
    def columns(self) -> int:
        return 1 if self.axis == 0 else 0

    @property
    def rows(self) -> int:
        return 1 if self.axis == 2 else 2

    @property
    def edges(self) -> tuple[str, str]:
        """Letters at the left and the right edge of the panel."""
        return ("A", "P") if self.axis == 0 else ("R", "L")

    def plane(self, volume: np.ndarray) -> np.ndarray:
        """The plane as (rows, columns) in array order, not yet mirrored for display."""
        return volume[(slice(None),) * self.axis + (self.index,)].T


def save_overlay(
    path: str | os.PathLike,
    ct_hu: np.ndarray,
    pet_suv: np.ndarray | None,
    masks: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    title: str = "",
    probability: np.ndarray | None = None,
    *,
    origin_mm: Sequence[float] | None = None,
    suv_display_max: float | None = None,
    footnote: str = DISCLAIMER,
) -> Path:
    """Write one PNG with five planes: superior end, middle and inferior end (axial), coronal, sagittal.

    The slices come from the first mask that is not empty (without any: quarter, centre and three quarters of the
    volume). Axial panels are zoomed to the masks, the other two show the whole volume with the axial slices marked.

    Args:
        path: the PNG file; missing folders are made, the file is replaced in one step.
        ct_hu: CT in HU, (X, Y, Z) in RAS orientation: X grows towards the patient's right, Y to anterior,
            Z to superior.
        pet_suv: PET in SUVbw (g/ml) on the same grid, or None for a picture without PET.
        masks: name -> mask (X, Y, Z), non-zero inside; one coloured outline each, in this order.
        spacing_mm: voxel size along X, Y, Z.
        title: the heading; pseudonymous, it stays in the picture.
        probability: foreground probability (X, Y, Z) in [0, 1]; drawn as thin lines at 0.25 and 0.75.
        origin_mm: centre of voxel (0, 0, 0) in patient RAS mm, for positions as viewers give them; without it
            positions count from the first voxel.
        suv_display_max: SUV at the top of the PET colours; by default what the masks hold, between 6 and 20.
        footnote: the line at the bottom.

    Returns:
        The path of the picture.

    Raises:
        ValueError: when the arrays are not 3-D, do not share one shape, or the spacing is not three positive numbers.
    """
    spacing = _checked_spacing(spacing_mm)
    ct_hu = np.asarray(ct_hu)
    if ct_hu.ndim != 3 or 0 in ct_hu.shape:
        raise ValueError(f"Overlay: CT has shape {ct_hu.shape}; give a volume (X, Y, Z) in RAS orientation.")
    outlines = {name: _same_shape(mask, ct_hu, f"mask '{name}'") != 0 for name, mask in masks.items()}
    pet_suv = None if pet_suv is None else _same_shape(pet_suv, ct_hu, "PET")
    probability = None if probability is None else _same_shape(probability, ct_hu, "probability")
    origin = None if origin_mm is None else np.asarray(origin_mm, dtype=float)
    if pet_suv is not None and suv_display_max is None:
        suv_display_max = _suv_display_max(pet_suv, outlines)

    panels = choose_panels(outlines, ct_hu.shape)
    axial_window = _axial_window(outlines, ct_hu.shape, spacing)
    with _drawing:
        figure = Figure(figsize=(10.8, 7.6), dpi=100, facecolor=BACKGROUND)
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            2, 3, left=0.012, right=0.988, bottom=0.035, top=0.90, wspace=0.04, hspace=0.13, height_ratios=(1, 1)
        )
        figure.text(0.012, 0.967, title, color=TEXT, fontsize=13, weight="bold", va="center")
        figure.text(0.012, 0.014, footnote, color=FAINT, fontsize=7.5, va="center")
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(grid[number // 3, number % 3])
            _draw_plane(axes, panel, ct_hu, pet_suv, suv_display_max, spacing)
            _draw_outlines(axes, panel, outlines, probability, spacing)
            _frame(axes, panel, ct_hu.shape, spacing, origin, axial_window)
            if panel.axis != 2:
                for axial in panels[:3]:
                    axes.axhline(axial.index * spacing[2], color=TEXT, lw=0.5, ls=(0, (4, 4)), alpha=0.6)
        _draw_key(figure, figure.add_subplot(grid[1, 2]), outlines, probability, spacing, pet_suv, suv_display_max)
        return _write_png(figure, Path(path))


def choose_panels(masks: Mapping[str, np.ndarray], shape: Sequence[int]) -> list[_Panel]:
    """The five planes for these masks: axial superior end, middle, inferior end, then coronal and sagittal.

    Coronal and sagittal go through the largest cross-section of the first non-empty mask; the middle slice is the
    mask's slice nearest to half-way between its ends.
    """
    mask = next((mask for mask in masks.values() if mask.any()), None)
    if mask is None:
        low, middle, high = (int((shape[2] - 1) * part + 0.5) for part in (0.25, 0.5, 0.75))
        names = ("Axial, upper quarter", "Axial, centre", "Axial, lower quarter")
        coronal, sagittal = shape[1] // 2, shape[0] // 2
    else:
        slices = np.flatnonzero(mask.any(axis=(0, 1)))
        low, high = int(slices[0]), int(slices[-1])
        middle = int(slices[np.argmin(np.abs(slices - (low + high) / 2))])
        names = ("Superior end", "Middle", "Inferior end")
        coronal = int(np.argmax(mask.sum(axis=(0, 2))))
        sagittal = int(np.argmax(mask.sum(axis=(1, 2))))
    axial = [_Panel(name, 2, index) for name, index in zip(names, (high, middle, low), strict=True)]
    return [*axial, _Panel("Coronal", 1, coronal), _Panel("Sagittal", 0, sagittal)]


def _checked_spacing(spacing_mm: Sequence[float]) -> np.ndarray:
    spacing = np.asarray(spacing_mm, dtype=float).reshape(-1)
    if spacing.shape != (3,) or not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise ValueError(f"Overlay: spacing_mm is {tuple(spacing)}; give three positive numbers in mm (X, Y, Z).")
    return spacing


def _same_shape(volume: np.ndarray, ct_hu: np.ndarray, name: str) -> np.ndarray:
    volume = np.asarray(volume)
    if volume.shape != ct_hu.shape:
        raise ValueError(f"Overlay: {name} has shape {volume.shape}, the CT {ct_hu.shape}; resample it to the CT.")
    return volume


def _suv_display_max(pet_suv: np.ndarray, masks: Mapping[str, np.ndarray]) -> float:
    """Top of the PET colours: nearly the hottest voxel inside the masks, else of the volume; SUV 6 to 20."""
    inside = [pet_suv[mask] for mask in masks.values() if mask.any()]
    uptake = np.concatenate(inside) if inside else np.percentile(np.nan_to_num(pet_suv), 99.9)
    return float(np.clip(np.ceil(np.percentile(np.nan_to_num(uptake), 99)), 6, 20))


def _axial_window(masks: Mapping[str, np.ndarray], shape: Sequence[int], spacing: np.ndarray) -> np.ndarray | None:
    """Square field of view around all masks as [[x0, x1], [y0, y1]] in mm from the first voxel; None: the whole."""
    union = [mask.any(axis=2) for mask in masks.values() if mask.any()]
    if not union:
        return None
    inside = np.argwhere(np.logical_or.reduce(union))
    low, high = inside.min(axis=0) * spacing[:2], inside.max(axis=0) * spacing[:2]
    half = max(float((high - low).max()) / 2 + AXIAL_MARGIN_MM, AXIAL_MINIMUM_MM / 2)
    extent = (np.asarray(shape[:2]) - 0.5) * spacing[:2]
    window = []
    for centre, first, last in zip((low + high) / 2, -0.5 * spacing[:2], extent, strict=True):
        if last - first <= 2 * half:
            window.append((first, last))
            continue
        centre = min(max(centre, first + half), last - half)  # slide inwards rather than show nothing at the edge
        window.append((centre - half, centre + half))
    return np.asarray(window)


def _draw_plane(axes, panel: _Panel, ct_hu, pet_suv, suv_display_max, spacing: np.ndarray) -> None:
    """CT in grey and PET in hot colours that grow more opaque with the SUV; data coordinates are mm."""
    ct = np.nan_to_num(panel.plane(ct_hu).astype(np.float32), nan=LUNG_WINDOW_HU[0])
    dx, dy = spacing[panel.columns], spacing[panel.rows]
    extent = (-0.5 * dx, (ct.shape[1] - 0.5) * dx, -0.5 * dy, (ct.shape[0] - 0.5) * dy)
    shown = {"origin": "lower", "extent": extent, "aspect": "equal"}
    axes.imshow(ct, cmap="gray", vmin=LUNG_WINDOW_HU[0], vmax=LUNG_WINDOW_HU[1], interpolation="bilinear", **shown)
    if pet_suv is not None:
        strength = np.clip(np.nan_to_num(panel.plane(pet_suv).astype(np.float32)) / suv_display_max, 0, 1)
        hot = colormaps["hot"](strength)
        hot[..., 3] = _pet_opacity(strength)
        axes.imshow(hot, interpolation="bilinear", **shown)


def _pet_opacity(strength: np.ndarray) -> np.ndarray:
    """Opacity per relative uptake: background uptake stays invisible, the rest grows quickly."""
    return PET_OPACITY * np.clip((strength - 0.15) / 0.4, 0, 1)


def _draw_outlines(axes, panel: _Panel, masks, probability, spacing: np.ndarray) -> None:
    """Outlines half-way between the voxels inside and outside; a mask at the volume's edge is closed there."""
    layers = [
        (panel.plane(mask), (0.5,), colour, 1.5, "solid")
        for mask, colour in zip(masks.values(), _colours(masks), strict=True)
    ]
    if probability is not None:
        layers.insert(0, (panel.plane(probability), PROBABILITY_LEVELS, PROBABILITY_COLOUR, 0.8, "dotted"))
    for plane, levels, colour, width, style in layers:
        padded = np.pad(np.nan_to_num(plane.astype(np.float32)), 1)
        present = [level for level in levels if padded.max() > level]
        if present:
            columns = (np.arange(padded.shape[1]) - 1) * spacing[panel.columns]
            rows = (np.arange(padded.shape[0]) - 1) * spacing[panel.rows]
            axes.contour(columns, rows, padded, levels=present, colors=colour, linewidths=width, linestyles=style)


def _colours(masks: Mapping[str, np.ndarray]) -> list[str]:
    return [CONTOUR_COLOURS[number % len(CONTOUR_COLOURS)] for number in range(len(masks))]


def _frame(axes, panel: _Panel, shape, spacing, origin, axial_window) -> None:
    """Mirror for display, zoom, label the edges, say where the plane lies and how long a few centimetres are."""
    whole = [(-0.5 * spacing[axis], (shape[axis] - 0.5) * spacing[axis]) for axis in (panel.columns, panel.rows)]
    (left, right), (bottom, top) = whole if panel.axis != 2 or axial_window is None else axial_window
    axes.set(xlim=(right, left), ylim=(bottom, top), xticks=[], yticks=[], facecolor="black", anchor="C")
    for spine in axes.spines.values():
        spine.set_color("#3c4043")
    position = panel.index * spacing[panel.axis]
    axis_name = "xyz"[panel.axis]
    if origin is not None:
        position = origin[panel.axis] + position
    place = f"{axis_name} = {position:.1f} mm   slice {panel.index + 1}/{shape[panel.axis]}"
    axes.set_title(panel.name, loc="left", color=TEXT, fontsize=9.5, pad=4)
    axes.set_title(place, loc="right", color=FAINT, fontsize=7.5, pad=4)
    for letter, at in zip(panel.edges, (0.02, 0.98), strict=True):
        axes.text(
            at, 0.5, letter, transform=axes.transAxes, color=TEXT, fontsize=8, va="center",
            ha="left" if at < 0.5 else "right", path_effects=_OUTLINED,
        )  # fmt: skip
    length = _scale_bar_mm(right - left)
    end, height = right - 0.04 * (right - left), bottom + 0.045 * (top - bottom)
    axes.plot([end, end - length], [height, height], color=TEXT, lw=2.2, solid_capstyle="butt", path_effects=_OUTLINED)
    axes.text(
        end - length / 2, height + 0.02 * (top - bottom), f"{length:g} mm", color=TEXT, fontsize=7, ha="center",
        path_effects=_OUTLINED,
    )  # fmt: skip


def _scale_bar_mm(width_mm: float) -> float:
    """Longest round length that takes at most a third of the panel."""
    lengths = (1, 2, 5, 10, 20, 50, 100, 200)
    return max((length for length in lengths if length <= width_mm / 3), default=lengths[0])


def _draw_key(figure, axes, masks, probability, spacing, pet_suv, suv_display_max) -> None:
    """Legend with the volume of each mask, the PET colours, and how the picture is oriented."""
    axes.set_axis_off()
    voxel_ml = float(np.prod(spacing)) / 1000
    entries = []
    for (name, mask), colour in zip(masks.items(), _colours(masks), strict=True):
        volume = f"{mask.sum() * voxel_ml:.1f} ml" if mask.any() else "empty"
        entries.append(Line2D([], [], color=colour, lw=2, label=f"{name}: {volume}"))
    if probability is not None:
        label = "probability " + ", ".join(f"{level:g}" for level in PROBABILITY_LEVELS)
        entries.append(Line2D([], [], color=PROBABILITY_COLOUR, lw=1, ls=":", label=label))
    if entries:
        axes.legend(
            handles=entries, loc="upper left", frameon=False, labelcolor=TEXT, fontsize=9.5, borderpad=0.2,
            handlelength=1.6,
        )  # fmt: skip
    if pet_suv is not None:
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, suv_display_max), _hot_on_grey()), orientation="horizontal",
            cax=axes.inset_axes((0.03, 0.27, 0.94, 0.045)),
        )  # fmt: skip
        bar.set_label("PET, SUVbw (g/ml)", color=TEXT, fontsize=8)
        bar.ax.tick_params(colors=FAINT, labelsize=7.5)
        bar.outline.set_edgecolor("#3c4043")
    low, high = LUNG_WINDOW_HU
    notes = (
        f"CT window {low:g} to {high:g} HU. Radiological convention: the\n"
        "patient's right is on the left. Dashed: axial slices shown."
    )
    axes.text(0.03, 0.0, notes, transform=axes.transAxes, color=FAINT, fontsize=7.5, va="bottom", linespacing=1.5)


def _hot_on_grey() -> ListedColormap:
    """The PET colours as they look over soft tissue, for the colour bar."""
    strength = np.linspace(0, 1, 256)
    opacity = _pet_opacity(strength)[:, None]
    return ListedColormap(colormaps["hot"](strength)[:, :3] * opacity + 0.6 * (1 - opacity))


def _write_png(figure: Figure, path: Path) -> Path:
    """Draw, compress well, and move into place in one step."""
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return path
