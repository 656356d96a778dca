"""Evaluate a run: case by case, one row and one picture each, then table, summary and report."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import write_json
from ..inference.manifest import json_safe
from ..inference.overlay import save_overlay
from ..processes import process_pool
from .case_metrics import case_metrics
from .compare import compare_runs
from .ends import END_LENGTH_MM
from .masks import check_pair, mask_sha256
from .report import render_report
from .run_folder import (
    COMPARE_FILE,
    PICTURE_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
    read_made_with,
    read_notes,
    remove_picture,
    remove_results,
    run_name,
)
from .statistics import RESAMPLES
from .summary import summarise_run
from .tables import METRICS_FILE, read_rows, write_rows, write_text
from .volumes import case_name, load_case, patient_name

# of the settings of masks, those with which another mask comes of the same network
COMPARABLE_WITH = ("lesions", "test_time_flips")

logger = logging.getLogger(__name__)


def measure_case(
    output_dir: str | os.PathLike,
    case: str,
    pred,
    label,
    spacing_mm: Sequence[float],
    ct_hu=None,
    pet_suv=None,
    end_length_mm: float = END_LENGTH_MM,
    patient: str | None = None,
) -> dict:
    """Metrics of one case, and its picture in `<output_dir>/<case>/evaluation.png` when there is a CT.

    Args and errors as in `CaseEvaluator.add`.

    Returns:
        The row: `case`, `patient`, the columns of `case_metrics`, and `reference_sha256`, by which two runs know that
        they were measured against the same mask.
    """
    case = case_name({"case": case})
    pred, label, spacing = check_pair(pred, label, spacing_mm, case)
    row = {"case": case, "patient": patient or case} | case_metrics(pred, label, spacing, case, end_length_mm)
    row["reference_sha256"] = mask_sha256(label)
    if ct_hu is None:
        remove_picture(output_dir, case)  # of an earlier run, whose mask it shows
    else:
        verdict = "no reference target" if np.isnan(row["dice"]) else f"Dice {row['dice']:.3f}"
        title = f"{case}: {verdict}, reference {row['volume_reference_ml']:.1f} ml"
        masks = {"reference": label, "prediction": pred}
        pet = None if pet_suv is None else np.asarray(pet_suv)
        save_overlay(Path(output_dir) / case / PICTURE_FILE, np.asarray(ct_hu), pet, masks, spacing, title=title)
    return row


class CaseEvaluator:
    """Takes cases one by one and keeps only their numbers, so memory does not grow with the number of cases.

    Args:
        output_dir: where metrics.csv, summary.json, report.html, `<case>/evaluation.png` and, with a comparison,
            compare.json go; those of an earlier run in it are taken away.
        name: of what is evaluated, shown in the report.
        note: a line for the report, such as the attribution of the data.
        notes: what the figures must not be read without, such as cases that are missing: for the report and the
            summary, and for whatever pools this run or is compared with it.
        compare: folder or metrics.csv of another evaluation of the same patients.
        end_length_mm: length of one end of the target along z.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        report_cases: number of cases, worst first, whose picture goes into the report.
        made_with: settings that the masks depend on, such as the choice of lesions; kept in the summary.

    Raises:
        FileNotFoundError: nothing to compare with under `compare`.
        ValueError: `compare` is not an evaluation.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        name: str = "prediction",
        note: str = "",
        compare: str | os.PathLike | None = None,
        end_length_mm: float = END_LENGTH_MM,
        resamples: int = RESAMPLES,
        seed: int = 0,
        report_cases: int = 12,
        made_with: Mapping | None = None,
        notes: Sequence[str] = (),
    ):
        self.output_dir = Path(output_dir)
        self.name, self.note, self.notes = name, note, list(notes)
        self.end_length_mm, self.resamples, self.seed = end_length_mm, resamples, seed
        self.report_cases = report_cases
        self.made_with = None if made_with is None else json_safe(made_with)
        self.rows: list[dict] = []
        self._other_rows = read_rows(compare) if compare else None
        self._other_name = run_name(compare) if compare else ""
        self._other_made_with = read_made_with(compare) if compare else None
        self._other_notes = read_notes(compare) if compare else []

    def add(
        self, case: str, pred, label, spacing_mm: Sequence[float], ct_hu=None, pet_suv=None, patient: str | None = None
    ) -> dict:
        """Measure one case and draw its picture.

        Args:
            case: pseudonymous name; becomes a folder name.
            pred: predicted mask (X, Y, Z) in RAS, values 0 and 1.
            label: reference mask (X, Y, Z).
            spacing_mm: voxel size (x, y, z).
            ct_hu: CT (X, Y, Z) in HU; without it there is no picture.
            pet_suv: PET (X, Y, Z) in SUVbw (g/ml) on the same grid.
            patient: whose case it is; None: of a patient with no other one.

        Returns:
            The row of the case.

        Raises:
            ValueError: the case came before, or masks and voxel size cannot be compared.
        """
        return self.add_row(
            measure_case(self.output_dir, case, pred, label, spacing_mm, ct_hu, pet_suv, self.end_length_mm, patient)
        )

    def add_row(self, row: dict) -> dict:
        """Take a row that `measure_case` made, in another process for example."""
        if any(row["case"] == known["case"] for known in self.rows):
            raise ValueError(f"{row['case']} was evaluated before: every case counts once")
        self.rows.append(row)
        return row

    def finish(self) -> dict:
        """Write metrics.csv, summary.json, report.html and compare.json.

        Returns:
            The summary (see `summary.summarise_run`), with `notes`, and `comparison` when there is one.

        Raises:
            ValueError: no case was added, or the other run holds different cases.
        """
        if not self.rows:
            raise ValueError(f"nothing to evaluate: no case was added for {self.output_dir}")
        rows = sorted(self.rows, key=lambda row: row["case"])
        remove_results(self.output_dir, keep_pictures_of=[row["case"] for row in rows])
        write_rows(self.output_dir / METRICS_FILE, rows)  # first: the numbers survive a comparison that fails
        summary = summarise_run(rows, self.name, self.end_length_mm, self.resamples, self.seed)
        summary["notes"] = self.notes
        if self.made_with is not None:
            summary["settings"]["made_with"] = self.made_with
        shown = [self.note, *self.notes]
        if self._other_rows is not None:
            summary["comparison"] = comparison = self._compare(rows)
            write_json(self.output_dir / COMPARE_FILE, json_safe(comparison))
            shown += self._other_notes
            if comparison["made_otherwise"]:
                different = "; ".join(comparison["made_otherwise"])
                shown.append(f"The masks of the two runs were made with other settings: {different}.")
                logger.warning("%s", shown[-1])
        write_json(self.output_dir / SUMMARY_FILE, json_safe(summary))
        pictures = {row["case"]: self.output_dir / row["case"] / PICTURE_FILE for row in rows}
        html = render_report(summary, rows, pictures, list(filter(None, shown)), self.report_cases)
        write_text(self.output_dir / REPORT_FILE, html)
        return summary

    def _compare(self, rows: Sequence[Mapping]) -> dict:
        comparison = compare_runs(
            rows, self._other_rows, self.name, self._other_name, resamples=self.resamples, seed=self.seed
        )
        comparison["notes"] = [*(f"{self.name}: {note}" for note in self.notes), *self._other_notes]
        return comparison | {"made_otherwise": self._made_otherwise()}

    def _made_otherwise(self) -> list[str]:
        """Settings of the masks in which the other run differs, where both say what theirs are."""
        if self.made_with is None or self._other_made_with is None:
            return []
        pairs = {key: (self.made_with.get(key), self._other_made_with.get(key)) for key in COMPARABLE_WITH}
        return [f"{key} {mine}, there {theirs}" for key, (mine, theirs) in pairs.items() if mine != theirs]


def read_other_run(compare: str | os.PathLike, cases: Sequence[str]) -> None:
    """See that an evaluation can be compared with, before these cases are segmented.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no evaluation, or one of other patients.
    """
    known = {row["case"] for row in read_rows(compare)}
    if known != set(cases):
        only = ", ".join(sorted(known ^ set(cases))[:5])
        raise ValueError(f"compare: {run_name(compare)} holds other cases than those to be evaluated: {only}")


def evaluate_predictions(
    cases: Sequence[Mapping], output_dir: str | os.PathLike, workers: int = 1, progress: bool = True, **settings
) -> dict:
    """Evaluate predictions that lie on disk (or in memory).

    Args:
        cases: one mapping per case: `label` and `pred`, optionally `ct` and `pet` for the picture, as paths or as
            arrays (X, Y, Z) in RAS with `spacing_mm`; `case` or `patient_id`, else the folder of the CT names it;
            `patient` or, beside `case`, `patient_id` where a patient has several cases.
        output_dir: see `CaseEvaluator`.
        workers: processes that read, measure and draw.
        progress: show a bar.
        **settings: passed on to `CaseEvaluator` (name, note, compare, end_length_mm, resamples, seed,
            report_cases, made_with, notes).

    Returns:
        The summary.

    Raises:
        FileNotFoundError: a named file is missing.
        ValueError: no cases, a case without label or prediction, twice the same case, grids that differ.
    """
    names = [case_name(case) for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"every case counts once, but these come more often: {twice}")
    evaluator = CaseEvaluator(output_dir, **settings)
    measure = partial(_measure_from_source, output_dir=str(output_dir), end_length_mm=evaluator.end_length_mm)
    bar = partial(tqdm, total=len(cases), desc="evaluating", unit="case", disable=not progress)
    if workers > 1:
        with process_pool(min(workers, max(1, len(cases)))) as pool:
            for row in bar(pool.map(measure, cases)):
                evaluator.add_row(row)
    else:
        for row in bar(map(measure, cases)):
            evaluator.add_row(row)
    return evaluator.finish()


def _measure_from_source(case: Mapping, output_dir: str, end_length_mm: float) -> dict:
    name = case_name(case)
    volumes = load_case(case)
    if volumes["pred"] is None:
        raise ValueError(f"{name}: there is no prediction to evaluate (`pred`)")
    return measure_case(
        output_dir,
        name,
        volumes["pred"],
        volumes["label"],
        volumes["spacing_mm"],
        volumes["ct"],
        volumes["pet"],
        end_length_mm,
        patient_name(case),
    )
