"""Joins evaluations of disjoint patients, such as the folds of a cross-validation, into one table."""

from collections.abc import Sequence
from pathlib import Path

from .evaluate import COMPARABLE_WITH, CaseEvaluator, read_made_with, run_name
from .patients import patient_of
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
        ValueError: no runs, a patient is in two of them, or their masks were made with other settings.
    """
    if not runs:
        raise ValueError("nothing to pool: give --runs \"['folder of fold 0','folder of fold 1',...]\"")
    evaluator = CaseEvaluator(output_dir, made_with=_made_with(runs), **settings)
    pooled: dict[str, str] = {}
    for run in runs:
        rows = read_rows(run)
        for patient in {patient_of(row) for row in rows}:
            if patient in pooled:
                raise ValueError(
                    f"{patient} is in {pooled[patient]} and in {run_name(run)}: every patient counts once, "
                    "pool runs of disjoint patients, such as the folds of one cross-validation"
                )
            pooled[patient] = run_name(run)
        for row in rows:
            evaluator.add_row(row)
    return evaluator.finish()


def _made_with(runs: Sequence[str | Path]) -> dict | None:
    """What all runs say that their masks were made with; None when one does not say."""
    said = {run_name(run): read_made_with(run) for run in runs}
    if None in said.values():
        return None
    for key in COMPARABLE_WITH:
        values = {name: content.get(key) for name, content in said.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            raise ValueError(
                f"the masks of these runs were made with different `{key}`, so that a mean over them means nothing: "
                f"{values}; evaluate them again with the same"
            )
    first = next(iter(said.values()))
    return {key: first.get(key) for key in COMPARABLE_WITH}
