"""Joins evaluations of disjoint patients, such as the folds of a cross-validation, into one table."""

from collections.abc import Sequence
from pathlib import Path

from .evaluate import CaseEvaluator
from .tables import read_rows


def pool_evaluations(runs: Sequence[str | Path], output_dir: str | Path, **settings) -> dict:
    """Write metrics.csv, summary.json and report.html over the patients of several evaluations.

    Args:
        runs: folders (or metrics.csv) of the evaluations.
        output_dir: folder of the joint evaluation.
        **settings: passed on to `CaseEvaluator`.

    Returns:
        The joint summary.

    Raises:
        FileNotFoundError: a run is missing.
        ValueError: no runs, or a patient is in two of them.
    """
    if not runs:
        raise ValueError("nothing to pool: give --runs \"['folder of fold 0','folder of fold 1',...]\"")
    evaluator = CaseEvaluator(output_dir, **settings)
    for run in runs:
        for row in read_rows(run):
            evaluator.add_row(row)
    return evaluator.finish()
