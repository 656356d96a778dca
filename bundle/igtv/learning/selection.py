"""Which case to label next: strategies of active learning, on scores computed once per model version.

What callers rely on, the app and the simulated campaign (`campaign.py`): `STRATEGIES`, `score_case`, `select`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

STRATEGIES = {
    "first": "the first case in alphabetical order",
    "random": "any case with the same chance",
    "uncertainty": "the case with the highest mean entropy where the model sees, or nearly sees, tumour",
    "foreground_random": "by chance, two times in three among the cases in which the model sees tumour",
    "diverse": "among the more uncertain half, the case that is least like those labelled or given out before",
}

REGION_PROBABILITY = 0.05
REGION_ML = 1.0  # where the model sees less than this, its most likely 1 ml is looked at
FOREGROUND_PROBABILITY = 0.5
FOREGROUND_SHARE = 2 / 3  # as nnU-Net's and nnActive's sampling of patches with and without foreground
POSSIBLE_TUMOUR_ML = 0.1


@dataclass(frozen=True)
class CaseScore:
    """What a model's answer says about one case.

    Attributes:
        uncertainty: mean entropy in bits around the tumour that the model sees; the size of the tumour and of the
            volume do not matter.
        foreground_ml: volume of the tumour it sees, in ml (in voxels where the voxel size was not given).
        features: numbers to tell cases apart by; of one length for all cases.
    """

    uncertainty: float = 0.0
    foreground_ml: float = 0.0
    features: tuple[float, ...] = ()


def score_case(
    probability: np.ndarray,
    voxel_ml: float = 1.0,
    ct_hu: np.ndarray | None = None,
    pet_suv: np.ndarray | None = None,
) -> CaseScore:
    """Score of a case from the model's answer.

    Args:
        probability: of tumour, (X, Y, Z) in [0, 1].
        voxel_ml: volume of a voxel in ml.
        ct_hu: CT in HU on the same grid, for the features.
        pet_suv: PET in SUVbw (g/ml) on the same grid, for the features.
    """
    region = _region(probability, voxel_ml)
    p = np.clip(probability[region].astype(np.float32), 1e-6, 1 - 1e-6)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    uncertainty = float(entropy.mean()) if entropy.size else 0.0
    foreground_ml = float((probability > FOREGROUND_PROBABILITY).sum() * voxel_ml)
    features = [np.log1p(foreground_ml), np.log1p(p.size * voxel_ml), float(p.mean()) if p.size else 0.0]
    if p.size:
        centre = [float(axis.mean()) for axis in region]
    else:
        centre = [size / 2 for size in probability.shape]
    features += [place / size for place, size in zip(centre, probability.shape, strict=True)]
    for volume in (ct_hu, pet_suv):
        if volume is not None and p.size:
            values = volume[region].astype(np.float32)
            features += [float(values.mean()), float(values.std())]
    return CaseScore(uncertainty, foreground_ml, tuple(round(float(value), 5) for value in features))


def select(
    scores: Mapping[str, CaseScore], labelled: Collection[str], strategy: str, seed: int, count: int = 1
) -> list[str]:
    """Cases to label next.

    Args:
        scores: of all cases, by the current model.
        labelled: cases that are labelled, or given out already; never chosen. `diverse` keeps away from those that
            `scores` knows.
        strategy: one of `STRATEGIES`.
        seed: of the choice.
        count: how many, fewer where fewer are left.

    Returns:
        Names of the cases, the most wanted first.

    Raises:
        ValueError: an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy='{strategy}' is unknown: choose one of {', '.join(STRATEGIES)}")
    left = sorted(set(scores) - set(labelled))
    if strategy == "random":
        left = [left[index] for index in np.random.RandomState(seed).permutation(len(left))]
    elif strategy == "uncertainty":
        left = _most_uncertain(scores, left)
    elif strategy == "foreground_random":
        left = _foreground_random(scores, left, seed)
    elif strategy == "diverse":
        left = _diverse(scores, left, sorted(set(labelled) & set(scores)), count)
    return left[:count]


def _region(probability: np.ndarray, voxel_ml: float) -> tuple[np.ndarray, ...]:
    """Indices of the voxels that count: likely ones, or the most likely ones where there are too few."""
    wanted = min(probability.size, max(1, round(REGION_ML / voxel_ml)))
    likely = probability > REGION_PROBABILITY
    if likely.sum() >= wanted:
        return np.nonzero(likely)
    order = np.argpartition(probability.ravel(), -wanted)[-wanted:]
    return np.unravel_index(np.sort(order), probability.shape)


def _most_uncertain(scores: Mapping[str, CaseScore], cases: Sequence[str]) -> list[str]:
    return sorted(cases, key=lambda case: (-scores[case].uncertainty, case))


def _foreground_random(scores: Mapping[str, CaseScore], cases: Sequence[str], seed: int) -> list[str]:
    """A random order: with the chance of `FOREGROUND_SHARE` a place goes to a case with tumour, else to any case."""
    random = np.random.RandomState(seed)
    left = [cases[index] for index in random.permutation(len(cases))]
    order = []
    while left:
        seen = [case for case in left if scores[case].foreground_ml > POSSIBLE_TUMOUR_ML]
        chosen = seen[0] if seen and random.uniform() < FOREGROUND_SHARE else left[0]
        left.remove(chosen)
        order.append(chosen)
    return order


def _diverse(scores: Mapping[str, CaseScore], cases: Sequence[str], before: Sequence[str], count: int) -> list[str]:
    """The farthest case first, then the farthest from that one too (k-centre greedy, Sener and Savarese 2018).

    Distances are between features in units of their spread; candidates are the more uncertain half of the cases.
    """
    candidates = _most_uncertain(scores, cases)
    candidates = candidates[: max(count, (len(candidates) + 1) // 2)]
    everyone = [*candidates, *before]
    if not candidates:
        return []
    table = np.array([scores[case].features for case in everyone], dtype=float).reshape(len(everyone), -1)
    spread = table.std(axis=0)
    table = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1)
    places = dict(zip(everyone, table, strict=True))
    chosen: list[str] = []
    centres = [places[case] for case in before]
    while candidates and len(chosen) < count:
        if centres:
            nearest = [min(np.linalg.norm(places[case] - centre) for centre in centres) for case in candidates]
            best = candidates[int(np.argmax(nearest))]  # ties: the more uncertain one, which comes first
        else:
            best = candidates[0]
        candidates.remove(best)
        chosen.append(best)
        centres.append(places[best])
    return chosen
