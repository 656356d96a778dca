"""One HTML page that holds everything it shows: to be mailed, opened anywhere, archived."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from .case_metrics import METRICS
from .plots import comparison_plots, embedded_picture, run_plots
from .summary import STRATUM_METRICS, worst_first

TEMPLATE = Path(__file__).with_name("report.html.j2")
CASE_COLUMNS = (
    "dice",
    "nsd_3mm",
    "hd95_mm",
    "coverage",
    "margin_95_mm",
    "volume_reference_ml",
    "volume_error_ml",
    "dice_superior_end",
    "dice_inferior_end",
    "end_error_superior_mm",
    "end_error_inferior_mm",
    "centroid_shift_z_mm",
    "lesion_fp",
    "lesion_fn",
)
_BY_NAME = {metric.name: metric for metric in METRICS}


def render_report(
    summary: Mapping,
    rows: Sequence[Mapping],
    pictures: Mapping[str, Path],
    notes: Sequence[str] = (),
    report_cases: int = 12,
) -> str:
    """Build the page.

    Args:
        summary: of the run (`summary.summarise_run`), with `comparison` when there is one.
        rows: one row per case.
        pictures: overlay of each case; files that are not there are left out.
        notes: lines for the head of the page, such as the attribution of the data.
        report_cases: pictures to embed, worst cases first.

    Returns:
        HTML without scripts and without anything to load from elsewhere.
    """
    ordered = worst_first(rows)
    with_picture = [row for row in ordered if Path(pictures[row["case"]]).is_file()]
    shown = [
        {"row": row, "picture": embedded_picture(pictures[row["case"]])} for row in with_picture[: max(0, report_cases)]
    ]
    comparison = summary.get("comparison")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "metric": metric_text, "p": _p_text}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        summary=summary,
        metrics=METRICS,
        titles={metric.name: metric.title for metric in METRICS},
        stratum_metrics=STRATUM_METRICS,
        case_columns=CASE_COLUMNS,
        rows=ordered,
        notes=notes,
        plots=run_plots(rows),
        shown=shown,
        n_without_picture=len(rows) - len(shown),
        comparison=comparison,
        comparison_plots=comparison_plots(comparison) if comparison else [],
    )


def metric_text(value: float, name: str) -> str:
    """A value with the decimals of its metric; counts of single cases come without decimals."""
    if name.startswith("lesion_") and not math.isnan(value) and float(value).is_integer():
        return f"{value:.0f}"
    return _number(value, _BY_NAME[name].digits)


def _number(value: float, digits: int = 2) -> str:
    text = "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _p_text(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
