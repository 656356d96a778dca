"""The picture of the calibration: Dice and end Dice of the simple arms, and what was expected of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing

SHOWN = (("dice", "Dice per patient", "tab:blue"), ("dice_ends", "Dice of both ends", "tab:orange"))


def save_calibration(path: str | Path, arms: Mapping[str, Mapping], checks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the means with their intervals; grey boxes are the expected ranges.

    Args:
        path: PNG file.
        arms: arm -> metric -> `outcome.arm_summary`.
        checks: of `calibration.calibrate`; their names begin with the arm.
    """
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for position, (arm, metrics) in enumerate(arms.items()):
        for shift, (metric, label, colour) in zip((-0.18, 0.18), SHOWN, strict=True):
            numbers = metrics[metric]
            place = position + shift
            axes.bar(place, numbers["mean"], 0.34, color=colour, label=label if position == 0 else None)
            axes.plot([place, place], [numbers["ci_low"], numbers["ci_high"]], color="black", lw=1)
            check = checks.get(f"{arm}_{'ends' if metric == 'dice_ends' else metric}")
            if check:
                low, high = check["expected"]
                axes.fill_between([place - 0.17, place + 0.17], low, high, color="grey", alpha=0.4, zorder=3)
    axes.set_xticks(range(len(arms)), [arm.replace("_", " ") for arm in arms])
    axes.set(ylim=(0, 1), ylabel="mean over patients, 95 % interval")
    axes.set_title("calibration (grey: expected before it was measured)", fontsize=10)
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
