"""Pictures of the report, as PNG inside the page; every point is a patient, the mean of its cases."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from .patients import by_patient, patient_means
from .tables import column

BLUE, ORANGE, GREY = "#2a6fbb", "#d9822b", "#8a9099"
# columns that the pictures of one run show
SHOWN = (
    "dice",
    "volume_reference_ml",
    "volume_prediction_ml",
    "dice_superior_end",
    "dice_central",
    "dice_inferior_end",
    "end_error_superior_mm",
    "end_error_inferior_mm",
)
PICTURE_WIDTH = 1100  # pixels of an embedded overlay: readable, and a dozen of them still fit into a mail


def run_plots(rows: Sequence[Mapping]) -> list[tuple[str, str]]:
    """Pictures of one run: (caption, data URI) pairs; cases without a target are left out.

    Args:
        rows: one row per case.

    Returns:
        An empty list when no case has a target.
    """
    rows = [row for row in rows if row["volume_reference_ml"] > 0]
    if not rows:
        return []
    patients = _of_patients(rows, SHOWN)
    return [
        (caption, _picture(plot, drawn))
        for caption, plot, drawn in (
            ("Dice of every patient, worst first; the line is the mean.", _dice_bars, patients),
            ("Dice against the volume of the reference.", _dice_by_volume, patients),
            ("Predicted against reference volume; on the line they agree.", _volumes, patients),
            ("Dice of the superior end, the centre and the inferior end. Bars: medians.", _ends, patients),
            (
                "Patients with 95 % of the reference covered when the prediction is grown by a margin; of a patient "
                "with several cases the part of these. Cases without any prediction are never covered.",
                _margin_curve,
                rows,
            ),
            (
                "End-slice error: above 0 the prediction reaches beyond the reference, below 0 it stops short.",
                _end_errors,
                patients,
            ),
        )
    ]


def _of_patients(rows: Sequence[Mapping], names: Sequence[str]) -> list[dict]:
    """One row per patient: `patient`, and the means of these columns over its cases."""
    means = {name: by_patient(rows, column(rows, name)) for name in names}
    patients = next(iter(means.values()))
    return [{"patient": patient} | {name: means[name][patient] for name in names} for patient in patients]


def comparison_plots(comparison: Mapping) -> list[tuple[str, str]]:
    """Pictures of a paired comparison (see `compare.compare_runs`): Dice of both runs, and its difference."""
    cases = [case for case in comparison["cases"] if not np.isnan(case["difference"])]
    if not cases:
        return []
    patients = _of_patients(cases, ("dice", "dice_other", "difference"))
    name, other = comparison["name"], comparison["other_name"]

    def scatter(axes, patients):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        axes.scatter(column(patients, "dice_other"), column(patients, "dice"), color=BLUE, s=22)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"Dice, {other}", ylabel=f"Dice, {name}", aspect="equal")

    def bars(axes, patients):
        difference = np.sort(column(patients, "difference"))
        axes.bar(range(len(patients)), difference, color=np.where(difference >= 0, BLUE, ORANGE))
        axes.axhline(0, color=GREY, linewidth=1)
        axes.axhline(difference.mean(), color="black", linewidth=1, linestyle="--")
        axes.set(xlabel="patients, sorted", ylabel="difference of Dice", xticks=[])

    return [
        (f"Dice of every patient in both runs; above the line {name} is better.", _picture(scatter, patients)),
        (f"Dice of {name} minus {other}, patient by patient; dashed: the mean.", _picture(bars, patients)),
    ]


def embedded_picture(path: str | Path) -> str:
    """A PNG file as data URI, at most PICTURE_WIDTH pixels wide. Its colours stay: they are a scale of SUV."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    if picture.width > PICTURE_WIDTH:
        height = round(picture.height * PICTURE_WIDTH / picture.width)
        picture = picture.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return _data_uri(buffer)


def _picture(draw, rows) -> str:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes, rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return _data_uri(buffer)


def _data_uri(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _dice_bars(axes, rows) -> None:
    rows = sorted(rows, key=lambda row: row["dice"])
    dice = column(rows, "dice")
    axes.bar(range(len(rows)), dice, color=BLUE)
    axes.axhline(dice.mean(), color="black", linewidth=1, linestyle="--")
    axes.set(ylim=(0, 1), ylabel="Dice", xlabel="patients, worst first", xticks=[])
    if len(rows) <= 40:
        axes.set_xticks(range(len(rows)), [row["patient"] for row in rows], rotation=90, fontsize=6)


def _dice_by_volume(axes, rows) -> None:
    axes.scatter(column(rows, "volume_reference_ml"), column(rows, "dice"), color=BLUE, s=22)
    axes.set(xscale="log", ylim=(0, 1), xlabel="reference volume [ml]", ylabel="Dice")
    _plain_numbers(axes.xaxis)


def _volumes(axes, rows) -> None:
    reference, predicted = column(rows, "volume_reference_ml"), column(rows, "volume_prediction_ml")
    floor = reference.min() / 2  # a log axis has no 0: an empty prediction is drawn at the bottom
    predicted = np.maximum(predicted, floor)
    ends = [floor, max(reference.max(), predicted.max()) * 1.2]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.scatter(reference, predicted, color=BLUE, s=22)
    axes.set(xscale="log", yscale="log", xlabel="reference volume [ml]", ylabel="predicted volume [ml]")
    _plain_numbers(axes.xaxis, axes.yaxis)


def _plain_numbers(*log_axes) -> None:
    """Ticks at 1, 2, 5, 10, 20 ... ml written out."""
    for axis in log_axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _ends(axes, rows) -> None:
    _strips(
        axes, rows, {"superior end": "dice_superior_end", "centre": "dice_central", "inferior": "dice_inferior_end"}
    )
    axes.set(ylim=(-0.02, 1), ylabel="Dice")


def _end_errors(axes, rows) -> None:
    _strips(axes, rows, {"superior": "end_error_superior_mm", "inferior": "end_error_inferior_mm"})
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(ylabel="end-slice error [mm]")


def _strips(axes, rows, columns: Mapping[str, str]) -> None:
    """A column of points per metric, spread sideways so that equal values stay visible, with the median."""
    for place, name in enumerate(columns.values()):
        values = column(rows, name)
        values = np.sort(values[~np.isnan(values)])
        spread = 0.12 * np.sin(np.arange(len(values)) * 2.4)
        axes.scatter(place + spread, values, color=BLUE, s=16, alpha=0.7)
        if len(values):
            axes.hlines(np.median(values), place - 0.25, place + 0.25, color="black")
    axes.set_xticks(range(len(columns)), list(columns))


def _margin_curve(axes, rows) -> None:
    margins = column(rows, "margin_95_mm")
    defined = np.sort(margins[~np.isnan(margins)])
    longest = max(defined.max() if len(defined) else 0.0, 5.0)
    steps = np.concatenate([[0.0], defined, [longest * 1.05]])
    covered = [100.0 * np.mean(patient_means(rows, (margins <= step).astype(float))) for step in steps]
    axes.step(steps, covered, where="post", color=BLUE)
    axes.set(ylim=(0, 102), xlim=(0, None), xlabel="margin [mm]", ylabel="patients covered [%]")
