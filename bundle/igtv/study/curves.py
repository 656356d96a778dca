"""Curves of the outcome over the number of labelled patients."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from ..files import replacing
from .outcome import TITLES, Row, arm_summary, choose_rows
from .plan import MOVED, TRAINED, StudyPlan

PANELS = ("dice", "dice_superior_end", "dice_inferior_end")
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown")
GREYS = {
    "zero_shot": "0.55",
    "moved_zero_shot": "0.62",
    "margin": "0.3",
    "seeded_threshold": "0.45",
    "threshold": "0.7",
    "perfect_gtv": "0.15",
}
SHIFT = 1.035  # of one arm against the next along the logarithmic axis


def save_curves(path: str | Path, plan: StudyPlan, rows: Sequence[Row], sizes: Sequence[int], title: str) -> None:
    """Draw mean and 95 % interval of the main arms: pre-trained filled, from scratch hollow, untrained arms grey.

    Args:
        path: PNG file.
        plan: of the study.
        rows: of all tests of one data set.
        sizes: numbers of labelled patients.
        title: above the panels.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels, styles = figure.subplots(1, len(PANELS), sharey=True), _styles(plan)
    for axes, metric in zip(panels, PANELS, strict=True):
        for number, (arm, style) in enumerate(styles.items()):
            # side by side, so that the intervals of all arms can be told apart
            factor = SHIFT ** (number - (len(styles) - 1) / 2)
            _line(axes, arm, style, metric, rows, sizes, plan.resamples, factor)
        axes.set(xscale="log", xlabel="labelled IGTV patients", title=TITLES[metric])
        axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="mean over patients, 95 % interval", ylim=(0, 1))
    panels[-1].legend(fontsize=7, loc="best")
    figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _styles(plan: StudyPlan) -> dict[str, dict]:
    """Arm -> style of its line."""
    styles = {}
    for arm in plan.arms():
        kind = next((kind for kind in GREYS if arm.startswith(kind)), None)
        if kind is not None and (kind in ("threshold", "perfect_gtv") or arm.endswith(plan.main_architectures[0])):
            styles[arm] = {"color": GREYS[kind], "ls": ":", "marker": "."}
    for colour, name in zip(COLOURS, plan.main_architectures, strict=False):
        for init in reversed(TRAINED):
            styles[f"{init}_{name}"] = {
                "color": colour,
                "ls": "--" if init == "scratch" else "-",
                "marker": "s" if init == MOVED else "o",
                "mfc": "white" if init == "scratch" else colour,
            }
    return styles


def _line(axes, arm: str, style: dict, metric: str, rows, sizes: Sequence[int], resamples: int, factor: float) -> None:
    chosen = {size: found for size in sizes if (found := choose_rows(rows, arm, size))}
    points = [(size, arm_summary(found, metric, resamples)) for size, found in chosen.items()]
    if not points:
        return
    means = [numbers["mean"] for _, numbers in points]
    reach = [
        [abs(numbers[end] - mean) for (_, numbers), mean in zip(points, means, strict=True)]
        for end in ("ci_low", "ci_high")
    ]
    places = [size * factor for size, _ in points]
    axes.errorbar(places, means, yerr=reach, ms=5, capsize=2, elinewidth=0.9, label=arm.replace("_", " "), **style)
