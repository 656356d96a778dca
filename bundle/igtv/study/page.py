"""The report as one HTML page that holds its pictures."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..evaluation.plots import embedded_picture
from .outcome import OUTCOMES, TITLES
from .plan import StudyPlan

TEMPLATE = Path(__file__).with_name("report.html.j2")
DIGITS = {"volume_error_percent": 0, "end_distance_mm": 1}
WITH_MEDIAN = ("volume_error_percent",)  # one organ taken for the tumour outweighs a dozen tumours drawn too small


def render_page(folder: Path, study: Mapping[str, Any], plan: StudyPlan) -> str:
    """Build the page.

    Args:
        folder: of the study, where the pictures lie.
        study: content of `study.json`.
        plan: of the study.

    Returns:
        HTML without scripts and without anything to load from elsewhere.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "interval": interval_text,
        "signed": signed_text,
        "plain": lambda text: str(text).replace("_", " "),
    }

    def picture(path: str) -> str | None:
        return embedded_picture(folder / path) if (folder / path).is_file() else None

    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(study=study, plan=plan, outcomes=OUTCOMES, titles=TITLES, picture=picture)


def interval_text(numbers: Mapping[str, Any], metric: str) -> str:
    """Mean and interval of an arm; the median too where a few patients make the mean.

    Args:
        numbers: of `outcome.arm_summary`.
        metric: for the number of digits.
    """
    digits = DIGITS.get(metric, 3)
    text = _text(numbers["mean"], numbers, digits)
    return f"{text}, median {numbers['median']:.{digits}f}" if metric in WITH_MEDIAN else text


def signed_text(numbers: Mapping[str, Any], metric: str) -> str:
    """Mean difference and interval of a comparison.

    Args:
        numbers: of `outcome.paired_outcome`.
        metric: for the number of digits.
    """
    return _text(numbers["mean_difference"], numbers, DIGITS.get(metric, 3), sign="+")


def _text(mean: float, numbers: Mapping[str, Any], digits: int, sign: str = "") -> str:
    values = (mean, numbers["ci_low"], numbers["ci_high"])
    if mean is None or math.isnan(mean):
        return "–"
    found = ["–" if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}" for value in values]
    # an end that the image cuts has no Dice: what is said of the ends then rests on fewer patients than the table
    lacking = numbers.get("n_undefined", 0) + numbers.get("left_out", 0)
    return f"{found[0]} [{found[1]}, {found[2]}]" + (f" ({numbers['n']} patients)" if lacking else "")
