"""Two arms set against each other from a results.csv, by hand."""

import csv
import gzip
import sys

import pytest
from igtv.study import paired

HEAD = (
    "data", "arm", "size", "seed", "case", "patient", "dice", "dice_superior_end", "dice_inferior_end",
    "end_error_superior_mm", "end_error_inferior_mm",
)  # fmt: skip
LINES = (
    # ends 3 and 6 mm off, whatever the side; a cut inferior end; nothing drawn
    ("B", "one", 10, 0, "p0_1", "p0", 0.8, 0.5, 0.5, 3.0, -6.0),
    ("B", "one", 10, 0, "p1_1", "p1", 0.6, 0.5, "", -2.0, 40.0),
    ("B", "one", 10, 0, "p2_1", "p2", 0.0, 0.0, 0.0, "", ""),
    ("B", "two", 0, 0, "p0_1", "p0", 0.7, 0.5, 0.5, 1.0, 1.0),
    ("B", "two", 0, 0, "p1_1", "p1", 0.7, 0.5, "", 0.0, 90.0),
    ("B", "two", 0, 0, "p2_1", "p2", 0.1, 0.0, 0.0, 9.0, 9.0),
    ("A", "one", 10, 0, "a", "a", 0.1, 0.1, 0.1, 0.0, 0.0),
)


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.csv.gz"
    with gzip.open(path, "wt", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEAD, *LINES])
    return path


def test_distance_of_the_ends_counts_ends_that_are_there_whatever_the_side(results):
    rows = paired.read_results(results, "B")
    assert [row["end_distance_mm"] for row in rows] == pytest.approx(
        [4.5, 2.0, float("nan"), 1.0, 0.0, 9.0], nan_ok=True
    )


def test_arms_of_one_data_set_are_compared_patient_by_patient(results):
    found = paired.compare_arms(results, "B", "one", "two", "end_distance_mm")
    # p2 has no distance in the first arm: (4.5 - 1 + 2 - 0) / 2 of the two others
    assert found["difference"]["mean_difference"] == pytest.approx(2.75) and found["difference"]["n"] == 2
    assert found["first"]["mean"] == pytest.approx(3.25) and found["second"]["mean"] == pytest.approx(10 / 3)
    dice = paired.compare_arms(results, "B", "one", "two", "dice")["difference"]
    assert dice["mean_difference"] == pytest.approx((0.1 - 0.1 - 0.1) / 3) and dice["n"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "dise"}, "no column 'dise': choose one of dice, "),
        ({"metric": "patient"}, "no column 'patient'"),
        ({"second": "three"}, "no test of 'three' with n = 10: choose one of one, two"),
        ({"size": 20}, "no test of 'one' with n = 20: choose one of two"),
        ({"data": "C"}, "no test of Data C"),
    ],
)
def test_what_is_not_there_is_named(results, change, message):
    given = {"data": "B", "first": "one", "second": "two", "metric": "dice"} | change
    with pytest.raises(ValueError, match=message):
        paired.compare_arms(results, **given)


def test_the_command_prints_both_arms_and_their_difference(results, monkeypatch, capsys):
    arguments = ["--data", "B", "--first", "one", "--second", "two", "--metric", "end_distance_mm"]
    monkeypatch.setattr(sys, "argv", ["paired", str(results), *arguments])
    paired.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one: 3.250 [") and lines[1].startswith("two: 3.333 [")
    assert lines[2].startswith("difference: +2.750 [") and lines[2].endswith("of each seed +2.750")
