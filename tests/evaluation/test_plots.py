"""What the pictures of the report show: patients, whose cases are averaged, as in its tables."""

import numpy as np
import pytest
from igtv.evaluation import plots
from igtv.evaluation.case_metrics import case_metrics
from igtv.evaluation.compare import compare_runs
from igtv.evaluation.report import render_report
from igtv.evaluation.summary import summarise_run
from matplotlib.figure import Figure

PATIENTS = ("A", "B", "B", "B")


def rows_of(shifts):
    """One case of A and three of B, each mask moved by so many voxels; None: nothing was predicted."""
    label = np.zeros((20, 20, 14), bool)
    label[5:12, 5:12, 4:10] = True
    rows = []
    for number, (patient, shift) in enumerate(zip(PATIENTS, shifts, strict=True)):
        pred = np.zeros_like(label) if shift is None else np.roll(label, shift, axis=0)
        rows.append({"case": f"c{number}", "patient": patient} | case_metrics(pred, label, (1, 1, 1)))
    return rows


@pytest.fixture
def drawn(monkeypatch):
    """`drawn(pictures, data)`: caption -> axes, of what `run_plots` or `comparison_plots` draw."""

    def axes_of(draw, rows):
        axes = Figure().add_subplot()
        draw(axes, rows)
        return axes

    monkeypatch.setattr(plots, "_picture", axes_of)
    return lambda pictures, data: dict(pictures(data))


def starting_with(pictures, text):
    (axes,) = [axes for caption, axes in pictures.items() if caption.startswith(text)]
    return axes


def test_the_line_over_the_bars_is_the_mean_of_the_table(drawn):
    rows = rows_of((0, 5, 5, 4))
    mean = summarise_run(rows, "net", 6.0, 50, 0)["metrics"]["dice"]["mean"]
    axes = starting_with(drawn(plots.run_plots, rows), "Dice of every patient")
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([2 * mean - 1, 1.0])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["B", "A"]
    assert axes.lines[0].get_ydata() == pytest.approx([mean, mean])
    assert np.mean([row["dice"] for row in rows]) < mean - 0.1, "of the cases it would be another"


def test_every_point_is_a_patient(drawn):
    pictures = drawn(plots.run_plots, rows_of((0, 5, 5, 4)))
    for caption in ("Dice against", "Predicted against"):
        assert len(starting_with(pictures, caption).collections[0].get_offsets()) == 2
    ends = starting_with(pictures, "Dice of the superior end")
    assert [len(points.get_offsets()) for points in ends.collections[::2]] == [2, 2, 2]


def test_a_case_that_is_never_covered_counts_as_part_of_its_patient(drawn):
    axes = starting_with(drawn(plots.run_plots, rows_of((0, 0, 0, None))), "Patients with 95 %")
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_the_line_of_a_comparison_is_its_mean_difference(drawn):
    comparison = compare_runs(rows_of((0, 5, 5, 4)), rows_of((3, 5, 5, 5)), "new", "old", resamples=50)
    pictures = drawn(plots.comparison_plots, comparison)
    bars = starting_with(pictures, "Dice of new minus old")
    mean = comparison["metrics"]["dice"]["mean_difference"]
    assert len(bars.patches) == 2 and bars.lines[-1].get_ydata() == pytest.approx([mean, mean])
    assert len(starting_with(pictures, "Dice of every patient in both").collections[0].get_offsets()) == 2


def test_the_page_says_what_its_unit_is():
    rows = rows_of((0, 5, 5, 4))
    summary = summarise_run(rows, "net", 6.0, 50, 0)
    page = render_report(summary, rows, dict.fromkeys([row["case"] for row in rows], "none.png"))
    assert "bootstrap over patients" in page and "Means are over the patients" in page
    assert "over cases" not in page and "over the cases" not in page
