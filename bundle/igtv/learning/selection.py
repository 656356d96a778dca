"""Which case to label next: strategies of active learning, on scores computed once per model version.

What callers rely on, the app and the simulated campaign (`campaign.py`): `STRATEGIES`, `score_case`, `select`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

STRATEGIES = ("first", "random", "uncertainty")


@dataclass(frozen=True)
class CaseScore:
    """What a model's answer says about one case.

    Attributes:
        uncertainty: mean entropy in bits around the tumour that the model sees.
    """

    uncertainty: float


def score_case(probability: np.ndarray) -> CaseScore:
    """Score of a case from the model's answer.

    Args:
        probability: of tumour, (X, Y, Z) in [0, 1].
    """
    p = np.clip(probability.astype(np.float32), 1e-6, 1 - 1e-6)
    near = p > 0.05
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return CaseScore(uncertainty=float(entropy[near].mean()) if near.any() else 0.0)


def select(
    scores: Mapping[str, CaseScore], labelled: Collection[str], strategy: str, seed: int, count: int = 1
) -> list[str]:
    """Cases to label next.

    Args:
        scores: of all cases, by the current model.
        labelled: cases that are labelled, or given out already; never chosen.
        strategy: one of `STRATEGIES`.
        seed: of the choice.
        count: how many, fewer where fewer are left.

    Returns:
        Names of the cases, the most wanted first.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy='{strategy}' is unknown: choose one of {', '.join(STRATEGIES)}")
    left = sorted(set(scores) - set(labelled))
    if strategy == "random":
        left = [left[index] for index in np.random.RandomState(seed).permutation(len(left))]
    if strategy == "uncertainty":
        left.sort(key=lambda case: (-scores[case].uncertainty, case))
    return left[:count]
