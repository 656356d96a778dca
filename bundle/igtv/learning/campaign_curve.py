"""The picture of a campaign: Dice on the frozen set against the number of labels, one line per strategy."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..files import replacing

COLOURS = ("tab:blue", "tab:orange", "tab:grey", "tab:green", "tab:purple")


def save_curve(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw mean Dice of the model in use after every round; crosses are candidates that the gate refused.

    Args:
        path: PNG file.
        rows: as `campaign.run_campaign` gives them; several seeds of a strategy are averaged, their range is shaded.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for colour, strategy in zip(cycle(COLOURS), dict.fromkeys(row["strategy"] for row in rows), strict=False):
        own = [row for row in rows if row["strategy"] == strategy]
        labels = sorted({row["labels"] for row in own})
        values = [[row["dice"] for row in own if row["labels"] == number] for number in labels]
        axes.plot(labels, [np.mean(entry) for entry in values], "o-", color=colour, label=strategy.replace("_", " "))
        if len(values[0]) > 1:
            low, high = [min(entry) for entry in values], [max(entry) for entry in values]
            axes.fill_between(labels, low, high, color=colour, alpha=0.15, linewidth=0)
        refused = [row for row in own if row["accepted"] is False]
        if refused:
            places = [row["labels"] for row in refused], [row["candidate_dice"] for row in refused]
            axes.plot(*places, "x", color=colour)
    axes.set(xlabel="labelled cases", ylabel="mean Dice per patient, frozen set")
    axes.set_title("model in use after the gate (x: refused candidate)", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
