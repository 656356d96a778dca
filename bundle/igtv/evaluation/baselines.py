"""Threshold baselines: what a SUV threshold and the largest component reach without any learning."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import write_json
from ..inference.manifest import json_safe
from .evaluate import CaseEvaluator
from .masks import as_binary_mask, largest_component
from .rule_choice import mean_dice_by_rule
from .run_folder import SUMMARY_FILE, remove_if_empty, remove_results
from .volumes import case_name, load_case, patient_name

# SUV 0.5 to 10. Half steps, as thresholds are quoted: a few dozen patients cannot tell finer ones apart.
THRESHOLD_GRID = tuple(0.5 * step for step in range(1, 21))
FRACTION_OF_MAX = 0.41  # the usual fixed fraction for FDG (EANM guideline 2.0, doi 10.1007/s00259-014-2961-x)
FIXED_ARM, FRACTION_ARM = "fixed_suv", "fraction_of_max"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThresholdChoice:
    """The chosen threshold in SUV (g/ml), and the mean training Dice of each one tried."""

    threshold_suv: float
    mean_dice: dict[float, float]


def fixed_threshold_mask(pet_suv: np.ndarray, threshold_suv: float) -> np.ndarray:
    """Largest component of SUV > threshold; PET (X, Y, Z) in SUVbw (g/ml)."""
    return largest_component(np.asarray(pet_suv) > threshold_suv)


def fraction_of_max_mask(pet_suv: np.ndarray, fraction: float = FRACTION_OF_MAX) -> np.ndarray:
    """Largest component of SUV > fraction of the maximum of the volume.

    The maximum is that of what it is given: in a whole thorax the heart or the brain may hold it, so this baseline
    means something on crops around the tumour only.
    """
    pet_suv = np.asarray(pet_suv)
    return largest_component(pet_suv > fraction * pet_suv.max())


def choose_threshold(
    cases: Iterable[tuple[np.ndarray, np.ndarray]],
    grid: Sequence[float] = THRESHOLD_GRID,
    patients: Sequence[str] | None = None,
) -> ThresholdChoice:
    """Choose the SUV threshold with the highest mean per-patient Dice, largest component applied.

    Args:
        cases: pairs of PET (X, Y, Z) in SUVbw and reference mask; of the training patients only. One is held at a
            time, so a generator keeps memory flat.
        grid: thresholds to try; of equal ones the lowest wins. Cases with an empty reference do not count.
        patients: whose case each one is; None: every one of a patient with no other.

    Raises:
        ValueError: no case with a tumour, or an empty grid.
    """
    if not len(grid):
        raise ValueError("the grid of thresholds is empty")
    rules = [partial(fixed_threshold_mask, threshold_suv=threshold) for threshold in grid]
    checked = ((as_binary_mask(label, "training label"), (pet,)) for pet, label in cases)
    means = mean_dice_by_rule(rules, checked, patients)
    return ThresholdChoice(float(grid[int(means.argmax())]), dict(zip(map(float, grid), means.tolist(), strict=True)))


def evaluate_threshold_baselines(
    training_cases: Sequence[Mapping], cases: Sequence[Mapping], output_dir: str | os.PathLike, **evaluator_settings
) -> dict[str, dict]:
    """Evaluate both baselines, the fixed threshold chosen on the training patients.

    Writes one evaluation each to `<output_dir>/fixed_suv` and `<output_dir>/fraction_of_max`, which another run can be
    compared with, in place of those of an earlier run.

    Args:
        training_cases: items with the paths `pet` and `label`, for the choice of the threshold; without any only the
            fraction of the maximum is evaluated.
        cases: items to evaluate: `pet`, `label` and, for the pictures, `ct`.
        output_dir: where the two folders go.
        **evaluator_settings: passed on to `CaseEvaluator`.

    Returns:
        {"fixed_suv": summary, "fraction_of_max": summary}; the first also holds the chosen `threshold_suv` and the
        `training_mean_dice` of every threshold tried.

    Raises:
        ValueError: a patient is in both lists, or a case lacks PET or label.
    """
    remove_threshold_baselines(output_dir)
    both = {patient_name(case) for case in training_cases} & {patient_name(case) for case in cases}
    if both:
        raise ValueError(f"the threshold must not be chosen on patients it is evaluated on: {sorted(both)}")
    arms = {FRACTION_ARM: (f"SUV > {FRACTION_OF_MAX:.0%} of the maximum", fraction_of_max_mask)}
    choice = _choice(training_cases)
    if choice is not None:
        fixed = partial(fixed_threshold_mask, threshold_suv=choice.threshold_suv)
        arms = {FIXED_ARM: (f"SUV > {choice.threshold_suv:g}", fixed), **arms}
    evaluators = {
        arm: CaseEvaluator(Path(output_dir) / arm, name=f"{name}, largest component", **evaluator_settings)
        for arm, (name, _) in arms.items()
    }
    for case in tqdm(cases, desc="threshold baselines", unit="case"):
        volumes = load_case(case, ("label", "ct", "pet"))
        if volumes["pet"] is None:
            raise ValueError(f"{case_name(case)}: a threshold baseline needs the PET")
        for arm, (_, segment) in arms.items():
            evaluators[arm].add(
                case_name(case),
                segment(volumes["pet"]),
                volumes["label"],
                volumes["spacing_mm"],
                volumes["ct"],
                volumes["pet"],
                patient_name(case),
            )
    summaries = {arm: evaluator.finish() for arm, evaluator in evaluators.items()}
    if choice is not None:
        summaries[FIXED_ARM] |= {"threshold_suv": choice.threshold_suv, "training_mean_dice": choice.mean_dice}
        write_json(Path(output_dir) / FIXED_ARM / SUMMARY_FILE, json_safe(summaries[FIXED_ARM]))
    return summaries


def remove_threshold_baselines(output_dir: str | os.PathLike) -> None:
    """Take away what an earlier run measured of the thresholds; files of others stay."""
    for arm in (FIXED_ARM, FRACTION_ARM):
        remove_results(Path(output_dir) / arm)
    remove_if_empty(output_dir)


def _choice(training_cases: Sequence[Mapping]) -> ThresholdChoice | None:
    """The threshold that fits the training cases; None where there are none, as in an external test set."""
    if not training_cases:
        logger.warning("no training case to choose a SUV threshold on: only the fraction of the maximum is measured")
        return None
    bar = tqdm(training_cases, desc="choosing the threshold", unit="case")
    patients = [patient_name(case) for case in training_cases]
    return choose_threshold((_pet_and_label(case) for case in bar), patients=patients)


def _pet_and_label(case: Mapping) -> tuple[np.ndarray, np.ndarray]:
    volumes = load_case(case, ("label", "pet"))
    if volumes["pet"] is None:
        raise ValueError(f"{case_name(case)}: a threshold baseline needs the PET")
    return volumes["pet"], volumes["label"]
