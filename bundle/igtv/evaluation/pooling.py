"""Joins evaluations of disjoint patients, such as the folds of a cross-validation, into one table."""

from collections.abc import Sequence
from pathlib import Path

from ..configuration.words import words
from .evaluate import COMPARABLE_WITH, CaseEvaluator
from .patients import patient_of
from .run_folder import read_made_with, read_notes, run_name
from .tables import read_rows


def pool_evaluations(runs: str | Sequence[str | Path], output_dir: str | Path, **settings) -> dict:
    """Write metrics.csv, summary.json and report.html over the patients of several evaluations.

    What a run warns of (`notes` in its summary) stands in the joint report and summary too, with the run's name.

    Args:
        runs: folders (or metrics.csv) of the evaluations, or one of them as it is.
        output_dir: folder of the joint evaluation.
        **settings: passed on to `CaseEvaluator`.

    Returns:
        The joint summary.

    Raises:
        FileNotFoundError: a run is missing.
        ValueError: no runs, a patient is in two of them, or their masks were made with other settings.
    """
    runs = words(runs)
    if not runs:
        raise ValueError("nothing to pool: give --runs \"['folder of fold 0','folder of fold 1',...]\"")
    notes = [note for run in runs for note in read_notes(run)]
    evaluator = CaseEvaluator(output_dir, made_with=_made_with(runs), notes=notes, **settings)
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
    said = [read_made_with(run) for run in runs]
    if None in said:
        return None
    for key in COMPARABLE_WITH:
        values = [content.get(key) for content in said]
        if any(value != values[0] for value in values):
            named = ", ".join(f"{run_name(run)!r}: {value}" for run, value in zip(runs, values, strict=True))
            raise ValueError(
                f"the masks of these runs were made with different `{key}`, so that a mean over them means nothing: "
                f"{named}; evaluate them again with the same"
            )
    return {key: said[0].get(key) for key in COMPARABLE_WITH}
