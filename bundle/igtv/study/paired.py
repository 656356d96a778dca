"""Two arms of a study set against each other in any column of its results, which the report's tables may not show.

PYTHONPATH=bundle python -m igtv.study.paired RESULTS_CSV --data B --first ARM --second ARM --metric end_distance_mm
"""

import argparse
import csv
import gzip
from pathlib import Path
from typing import Any

from .outcome import TEXT_COLUMNS, arm_summary, choose_rows, end_distance_mm, paired_outcome, read_row


def read_results(path: str | Path, data: str) -> list[dict[str, Any]]:
    """Rows of one data set of a `results.csv`, which may be gzipped, with `end_distance_mm`.

    Raises:
        ValueError: the file has no row of this data set.
    """
    opened = gzip.open if Path(path).suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        rows = [read_row(cells) for cells in csv.DictReader(file) if cells.get("data") == data]
    if not rows:
        raise ValueError(f"{path} has no test of Data {data}")
    return [row | {"end_distance_mm": end_distance_mm(row)} for row in rows]


def compare_arms(path: str | Path, data: str, first: str, second: str, metric: str, size: int = 10) -> dict[str, Any]:
    """Summary of each arm, and of their difference over patients.

    Args:
        path: `results.csv` of a study.
        data: "A" or "B".
        first, second: arms.
        metric: column of the file, or `end_distance_mm`.
        size: number of labelled patients.

    Returns:
        {"first": `outcome.arm_summary`, "second": the same, "difference": `outcome.paired_outcome`}.

    Raises:
        ValueError: the file lacks the data set, an arm at this size, or the column.
    """
    rows = read_results(path, data)
    if metric not in rows[0] or metric in TEXT_COLUMNS:
        numbers = [name for name in rows[0] if name not in (*TEXT_COLUMNS, "size", "seed")]
        raise ValueError(f"{path} has no column {metric!r}: choose one of {', '.join(numbers)}")
    arms = {}
    for name in (first, second):
        arms[name] = choose_rows(rows, name, size)
        if not arms[name]:
            tested = sorted({row["arm"] for row in rows if row["size"] in (0, size)})
            raise ValueError(f"{path} has no test of {name!r} with n = {size}: choose one of {', '.join(tested)}")
    return {
        "first": arm_summary(arms[first], metric),
        "second": arm_summary(arms[second], metric),
        "difference": paired_outcome(arms[first], arms[second], metric),
    }


def _line(name: str, numbers: dict[str, Any], key: str, sign: str = "") -> str:
    seeds = ", ".join(f"{value:{sign}.3f}" for value in numbers["by_seed"].values())
    interval = f"[{numbers['ci_low']:.3f}, {numbers['ci_high']:.3f}]"
    return f"{name}: {numbers[key]:{sign}.3f} {interval} over {numbers['n']} patients; of each seed {seeds}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", help="results.csv of a study, or results.csv.gz")
    parser.add_argument("--data", choices=("A", "B"), required=True)
    parser.add_argument("--first", required=True, help="arm, such as moved_rectified_B")
    parser.add_argument("--second", required=True, help="arm that the first is set against")
    parser.add_argument("--metric", default="dice", help="column, such as dice or end_distance_mm")
    parser.add_argument("--size", type=int, default=10, help="number of labelled patients")
    given = parser.parse_args()
    found = compare_arms(given.results, given.data, given.first, given.second, given.metric, given.size)
    print(_line(given.first, found["first"], "mean"))
    print(_line(given.second, found["second"], "mean"))
    print(_line("difference", found["difference"], "mean_difference", "+"))


if __name__ == "__main__":
    main()
