"""One evaluation run: segment the cases of a part, measure the masks, put the threshold baselines beside them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ignite.engine import Engine

from ..data.datalist import PARTS
from ..inference.case_writer import CasesFailed
from .baselines import evaluate_threshold_baselines, remove_threshold_baselines
from .evaluate import evaluate_predictions, read_other_run
from .run_folder import run_name
from .training_cases import note_of_learned_cases

logger = logging.getLogger(__name__)


def run_evaluation(
    evaluator: Engine,
    cases: Mapping[str, Sequence[Mapping]],
    part: str,
    predictions_dir: str | Path,
    output_dir: str | Path,
    threshold_baselines: bool,
    model_path: str | Path,
    num_workers: int = 0,
    **settings,
) -> dict:
    """Segment and measure; what can be refused is refused before anything is segmented.

    Args:
        evaluator: engine that writes `<predictions_dir>/<case>/pred.nii.gz` for the cases of `part`.
        cases: cases of all parts, and "left_out", as `prepare_cases` gives them; the baselines choose their threshold
            on "training".
        part: "training", "validation" or "testing".
        predictions_dir: folder of the masks.
        output_dir: folder of metrics.csv, summary.json, report.html; the baselines go to `threshold_baselines` in it.
        threshold_baselines: also measure the PET thresholds.
        model_path: the weights; what they were trained on is looked at where it is known.
        num_workers: processes that measure.
        **settings: passed on to `CaseEvaluator`: name, note, compare, seed and so on. Where a case fails there is no
            comparison, which would be with other patients than asked for.

    Returns:
        The summary of the network's masks.

    Raises:
        FileNotFoundError: nothing to compare with.
        ValueError: an unknown part, no case in it or one without label, or a comparison with other patients.
        CasesFailed: some cases could not be segmented; the others have been measured.
    """
    chosen = _cases_to_measure(cases, part)
    compare = settings.pop("compare", None)
    if compare:
        read_other_run(compare, [case["case"] for case in chosen])
    learned = "" if part == "training" else note_of_learned_cases(model_path, chosen)
    failed = _segment(evaluator)
    measured = [case for case in chosen if failed is None or case["case"] not in failed.failures]
    if failed is not None and not measured:
        raise failed
    lacking = _lacking(cases, part, failed)
    notes = [*filter(None, [learned]), *lacking]
    if compare and failed is not None:
        notes.append(f"There is no comparison with {run_name(compare)}: it needs the cases that failed too.")
    predicted = [{**case, "pred": str(Path(predictions_dir) / case["case"] / "pred.nii.gz")} for case in measured]
    compared_with = compare if failed is None else None
    summary = evaluate_predictions(
        predicted, output_dir, workers=num_workers, notes=notes, compare=compared_with, **settings
    )
    baselines_dir = Path(output_dir) / "threshold_baselines"
    if threshold_baselines and part != "training":
        # what the model has learned is nothing to a threshold
        shared = {key: value for key, value in settings.items() if key not in ("name", "made_with")}
        evaluate_threshold_baselines(cases["training"], measured, baselines_dir, notes=lacking, **shared)
    else:
        if threshold_baselines:
            logger.warning("no threshold baselines: their threshold is chosen on the training cases evaluated here")
        if not (compare and _lies_in(compare, baselines_dir)):
            remove_threshold_baselines(baselines_dir)
    logger.info("evaluated %d cases, report in %s", len(measured), Path(output_dir) / "report.html")
    if failed is not None:
        raise failed
    return summary


def _cases_to_measure(cases: Mapping[str, Sequence[Mapping]], part: str) -> Sequence[Mapping]:
    if part not in cases:
        raise ValueError(f"evaluation_part is '{part}': choose one of {', '.join(PARTS)}")
    if not cases[part]:
        raise ValueError(f"the datalist has no case for evaluation_part='{part}': choose another part or fold")
    unlabelled = [case["case"] for case in cases[part] if "label" not in case]
    if unlabelled:
        raise ValueError(f"cases without label cannot be evaluated: {', '.join(unlabelled)}")
    return cases[part]


def _lacking(cases: Mapping[str, Sequence], part: str, failed: CasesFailed | None) -> list[str]:
    """Sentences on the cases of a part that are not measured.

    Why a case is unusable stays in the log: it names a path, which a report must not.
    """
    sentences = []
    unusable = [bad.case for bad in cases.get("left_out", ()) if bad.part == part]
    if unusable:
        sentences.append(
            f"Not among these cases: {len(unusable)} of {len(unusable) + len(cases[part])} that cannot be used and "
            f"were left out (skip_bad_cases; the log says why): {', '.join(unusable)}"
        )
    if failed is not None:
        sentences.append(f"Not among these cases: {failed}")
    return sentences


def _lies_in(run: str | Path, folder: Path) -> bool:
    return Path(run).resolve().is_relative_to(folder.resolve())


def _segment(evaluator: Engine) -> CasesFailed | None:
    """What failed, if anything did: hours of work on the other cases shall not be lost with it."""
    try:
        evaluator.run()
    except CasesFailed as error:
        return error
    return None
