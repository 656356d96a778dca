"""A simulated annotation campaign: whose choice of the next case makes the model better with fewer labels?

Every strategy starts from the same weights with no label. Round by round it chooses cases, the labels that the data
set holds play the annotator, the model is fine-tuned, and the gate decides; all are measured on one frozen set.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tqdm import tqdm

from ..configuration.whole_numbers import whole_number
from ..configuration.words import words
from ..data.datalist import read_datalist
from ..data.prepare import make_phantom_where_asked
from ..evaluation.tables import write_rows
from ..files import write_json
from ..inference.case_segmenter import CaseSegmenter
from .campaign_curve import save_curve
from .candidate import keep_evaluation, known_evaluation
from .contour_kinds import learned_contours
from .frozen_set import FrozenSet
from .gate import GateRule
from .model_version import ModelVersion
from .registry import ModelRegistry
from .retrain import CycleSettings, NothingNew, run_cycle
from .selection import STRATEGIES, CaseScore, score_case, select
from .session import FROZEN_DIR, WORK_DIR, labelled_cases, open_frozen_set
from .work import BUNDLE_DIR

TABLE_FILE, CURVE_FILE, SUMMARY_FILE = "campaign.csv", "campaign.png", "campaign.json"
WITHOUT_SCORES = ("first", "random")

logger = logging.getLogger(__name__)


def run_campaign(
    output_dir: str | Path,
    dataset_dir: str | Path,
    datalist: str | Path | None,
    model_path: str | Path,
    strategies: str | Sequence[str] = ("uncertainty", "diverse", "random"),
    rounds: int = 4,
    cases_per_round: int = 2,
    repeats: int = 1,
    fold: int = 0,
    num_folds: int = 5,
    phantom: Mapping[str, Any] | None = None,
    device: str | None = None,
    margin: float = GateRule.margin,
    max_case_drop: float = GateRule.max_case_drop,
    outweighing_gain: float = GateRule.outweighing_gain,
    seed: int = 0,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Run the campaign of every strategy.

    Args:
        output_dir: new folder for `campaign.csv`, `campaign.png`, `campaign.json`, and one registry per strategy.
        dataset_dir: folder that the datalist's paths start from.
        datalist: labelled cases (None: `dataset.json` in that folder); those that validate with `fold` are the frozen
            set, the others are the pool. GTV contours (`label_kind`) are left out with a warning.
        model_path: weights that every strategy starts from.
        strategies: of `selection.STRATEGIES`.
        rounds: at most this many; fewer where the pool runs dry.
        cases_per_round: labels per round.
        repeats: campaigns per strategy, choices and trainings with seeds from `seed` on.
        fold, num_folds: of the frozen set, see `data.datalist.split_cases`.
        phantom: settings of the built-in phantom, made where `dataset_dir` and `datalist` are its own.
        device: of scoring and training; None: CUDA where there is one.
        margin, max_case_drop, outweighing_gain: rule of the gate.
        seed: of all choices and trainings, and of the split into frozen set and pool.
        **settings: the other fields of `CycleSettings`.

    Returns:
        Rows of the table: strategy, seed, round, labels, cases, version, accepted, candidate_dice, dice.

    Raises:
        FileExistsError: the folder holds a campaign already.
        ValueError: an unknown strategy, nothing to choose from, GTV contours alone, or nothing to learn from in any
            round.
    """
    folder, strategies = Path(output_dir), words(strategies)
    _check(folder, strategies, rounds, cases_per_round, repeats)
    make_phantom_where_asked(dataset_dir, datalist, phantom)
    listing, _ = learned_contours(read_datalist(datalist, dataset_dir))
    frozen = open_frozen_set(folder / FROZEN_DIR, listing, fold, num_folds, seed)
    pool = [case for case in labelled_cases(listing) if frozen.leak(case) is None]
    finetuning = {**settings.pop("finetuning", {}), **({} if device is None else {"device": str(device)})}
    settings |= {"rule": GateRule(margin, max_case_drop, outweighing_gain), "finetuning": finetuning}
    segmenter = CaseSegmenter(BUNDLE_DIR, device)
    rows: list[dict[str, Any]] = []
    start: Path | None = None  # evaluation of the weights that all start from
    with tqdm(total=len(strategies) * repeats * rounds, desc="campaign", unit="round") as bar:
        for strategy in strategies:
            for own_seed in range(seed, seed + repeats):
                home = folder / f"{strategy}_{own_seed}"
                registry = ModelRegistry(home)
                first = registry.seed(model_path, "where the campaign starts")
                if start is not None:
                    keep_evaluation(registry, first, frozen, finetuning, start)
                choice = Choice(strategy, own_seed, pool, segmenter)
                cycle = CycleSettings(seed=own_seed, only_with_new=False, **settings)
                for row in _rounds(choice, registry, frozen, home, cycle, rounds, cases_per_round):
                    rows.append(row)
                    bar.update(row["round"] > 0)
                    _write(folder, rows)
                start = start or known_evaluation(registry, first, frozen, finetuning)
    if not rows:
        raise NothingNew(f"in {rounds} round(s) no strategy chose a case with a tumour: give more cases_per_round")
    logger.info("campaign of %d strategies: %s and %s", len(strategies), folder / TABLE_FILE, folder / CURVE_FILE)
    return rows


class Choice:
    """Chooses cases of a pool by one strategy, with scores computed once per model version.

    Args:
        strategy: its name.
        seed: of its choices.
        pool: all cases, with `case`, `ct`, `pet`.
        segmenter: asks a model about a case.
    """

    def __init__(self, strategy: str, seed: int, pool: Sequence[Mapping[str, str]], segmenter: CaseSegmenter) -> None:
        self.strategy, self.seed, self.segmenter = strategy, seed, segmenter
        self.pool = {case["case"]: case for case in pool}
        self._scores: tuple[int, dict[str, CaseScore]] | None = None

    def next(self, model: ModelVersion, labelled: Sequence[str], count: int, number: int) -> list[str]:
        """Names of the cases to label in round `number`."""
        return select(self.scores(model), labelled, self.strategy, self.seed + 1000 * number, count)

    def scores(self, model: ModelVersion) -> dict[str, CaseScore]:
        """Score of every case of the pool by this model; empty ones for strategies that ask no model."""
        if self.strategy in WITHOUT_SCORES:
            return dict.fromkeys(self.pool, CaseScore())
        if self._scores is None or self._scores[0] != model.number:
            self._scores = (model.number, {name: self._score(model, case) for name, case in self.pool.items()})
        return self._scores[1]

    def _score(self, model: ModelVersion, case: Mapping[str, str]) -> CaseScore:
        answer = self.segmenter.segment(model.model_path, case["ct"], case["pet"])
        voxel_ml = float(np.prod(nib.affines.voxel_sizes(answer.affine))) / 1000
        return score_case(answer.probability, voxel_ml, answer.ct_hu, answer.pet_suv)


def _rounds(choice: Choice, registry, frozen: FrozenSet, home: Path, cycle: CycleSettings, rounds: int, count: int):
    """Rows of one campaign, round 0 (no label) first; none of a round whose labels teach nothing."""
    labelled: list[str] = []
    row = {"strategy": choice.strategy, "seed": choice.seed}
    nothing_yet = True
    for number in range(1, rounds + 1):
        chosen = choice.next(registry.current(), labelled, count, number)
        if not chosen:
            return
        labelled += chosen
        answers = [choice.pool[name] for name in labelled]
        try:
            version = run_cycle(registry, answers, frozen, home / WORK_DIR, cycle)
        except NothingNew as error:  # such as negatives alone: the next round adds to them
            logger.warning("%s, seed %d, round %d: %s", choice.strategy, choice.seed, number, error)
            continue
        dice = version.decision["dice"]
        if nothing_yet:
            nothing_yet = False
            yield row | _numbers(0, [], [], None, dice["current"], dice["current"])
        after = dice["candidate"] if version.decision["accepted"] else dice["current"]
        yield row | _numbers(number, labelled, chosen, version, dice["candidate"], after)


def _numbers(number, labelled, chosen, version: ModelVersion | None, candidate: float, after: float) -> dict[str, Any]:
    return {
        "round": number,
        "labels": len(labelled),
        "cases": " ".join(chosen),
        "version": 1 if version is None else version.number,
        "accepted": "" if version is None else version.decision["accepted"],
        "candidate_dice": round(candidate, 4),
        "dice": round(after, 4),
    }


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    write_rows(folder / TABLE_FILE, rows)
    save_curve(folder / CURVE_FILE, rows)
    final = {f"{row['strategy']}_{row['seed']}": {"labels": row["labels"], "dice": row["dice"]} for row in rows}
    write_json(folder / SUMMARY_FILE, {"final": final, "rounds": rows})


def _check(folder: Path, strategies: Sequence[str], rounds: int, cases_per_round: int, repeats: int) -> None:
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown or not strategies:
        raise ValueError(f"strategies={list(strategies)}: choose among {', '.join(STRATEGIES)}")
    for name, value in (("rounds", rounds), ("cases_per_round", cases_per_round), ("repeats", repeats)):
        whole_number(name, value, 1)
    if (folder / TABLE_FILE).exists() or any(folder.glob("*/igtv")):
        raise FileExistsError(f"{folder} holds a campaign already: give a new output_dir")
