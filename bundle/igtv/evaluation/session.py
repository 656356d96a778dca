"""One evaluation run: segment the cases of a part, measure the masks, put the threshold baselines beside them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ignite.engine import Engine

from ..data.datalist import PARTS
from ..inference.case_writer import CasesFailed
from .baselines import evaluate_threshold_baselines
from .evaluate import evaluate_predictions, read_other_run
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
        cases: cases of all parts; the baselines choose their threshold on "training".
        part: "training", "validation" or "testing".
        predictions_dir: folder of the masks.
        output_dir: folder of metrics.csv, summary.json, report.html; the baselines go to `threshold_baselines` in it.
        threshold_baselines: also measure the PET thresholds.
        model_path: the weights; what they were trained on is looked at where it is known.
        num_workers: processes that measure.
        **settings: passed on to `CaseEvaluator`: name, note, compare, seed and so on.

    Returns:
        The summary of the network's masks.

    Raises:
        FileNotFoundError: nothing to compare with.
        ValueError: an unknown part, no case in it or one without label, or a comparison with other patients.
        CasesFailed: some cases could not be segmented; the others have been measured.
    """
    if part not in cases:
        raise ValueError(f"evaluation_part is '{part}': choose one of {', '.join(PARTS)}")
    chosen = cases[part]
    if not chosen:
        raise ValueError(f"the datalist has no case for evaluation_part='{part}': choose another part or fold")
    unlabelled = [case["case"] for case in chosen if "label" not in case]
    if unlabelled:
        raise ValueError(f"cases without label cannot be evaluated: {', '.join(unlabelled)}")
    if settings.get("compare"):
        read_other_run(settings["compare"], [case["case"] for case in chosen])
    learned = "" if part == "training" else note_of_learned_cases(model_path, chosen)
    failed = _segment(evaluator)
    measured = [case for case in chosen if failed is None or case["case"] not in failed.failures]
    if failed is not None and (not measured or settings.get("compare")):
        raise failed  # nothing to measure, or a comparison with other patients than asked for
    predicted = [{**case, "pred": str(Path(predictions_dir) / case["case"] / "pred.nii.gz")} for case in measured]
    lacking = "" if failed is None else f"Not among these cases: {failed}"
    settings["note"] = " ".join(filter(None, [settings.get("note"), learned, lacking]))
    summary = evaluate_predictions(predicted, output_dir, workers=num_workers, **settings)
    if threshold_baselines and part == "training":
        logger.warning("no threshold baselines: their threshold is chosen on the training cases evaluated here")
    elif threshold_baselines:
        shared = {key: value for key, value in settings.items() if key not in ("name", "compare", "made_with")}
        evaluate_threshold_baselines(cases["training"], measured, Path(output_dir) / "threshold_baselines", **shared)
    logger.info("evaluated %d cases, report in %s", len(measured), Path(output_dir) / "report.html")
    if failed is not None:
        raise failed
    return summary


def _segment(evaluator: Engine) -> CasesFailed | None:
    """What failed, if anything did: hours of work on the other cases shall not be lost with it."""
    try:
        evaluator.run()
    except CasesFailed as error:
        return error
    return None
