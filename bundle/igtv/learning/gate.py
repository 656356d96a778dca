"""The rule by which a candidate replaces the current model, or does not.

Both are measured on the frozen validation set. The candidate is accepted when

1. its mean Dice per patient is at least that of the current model minus `margin`, and
2. no patient's Dice falls by more than `max_case_drop`, unless the mean rises by `outweighing_gain` or more.

Rule 2 keeps an average from hiding a tumour that is lost; its exception is for early rounds, where a model that is far
better on the whole may well be worse on one patient. A patient with several cases counts once, with their mean. A case
without a number counts as 0. Cases without tumour have no Dice and take no part; the report says what is predicted in
them (`candidate.with_false_positives`).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MARGIN = 0.01
MAX_CASE_DROP = 0.2
OUTWEIGHING_GAIN = 0.05


@dataclass(frozen=True)
class GateRule:
    """Numbers of the rule, all in Dice.

    Attributes:
        margin: by which the mean may be lower.
        max_case_drop: by which one patient may fall.
        outweighing_gain: of the mean, that makes up for a patient who falls by more.
    """

    margin: float = MARGIN
    max_case_drop: float = MAX_CASE_DROP
    outweighing_gain: float = OUTWEIGHING_GAIN

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value}: a Dice between 0 and 1 is expected")


def by_patient(dice: Mapping[str, float], patients: Mapping[str, str]) -> dict[str, float]:
    """Mean Dice of the cases of every patient.

    Args:
        dice: by case; one without a number counts as 0.
        patients: case -> patient.

    Returns:
        Dice by the names of a patient's cases, such as "lung07" or "lung07, lung07_followup".
    """
    cases: dict[str, list[str]] = {}
    for case in dice:
        cases.setdefault(patients[case], []).append(case)
    return {", ".join(sorted(own)): sum(_number(dice[case]) for case in own) / len(own) for own in cases.values()}


def judge(current: Mapping[str, float], candidate: Mapping[str, float], rule: GateRule) -> dict[str, Any]:
    """Decide.

    Args:
        current: Dice of the current model by patient of the frozen set, see `by_patient`.
        candidate: Dice of the candidate by the same patients.
        rule: the rule.

    Returns:
        {"accepted", "reasons", "rule", "dice": {"current", "candidate", "difference"}, "cases": [{"case", "current",
        "candidate", "difference"}], worst difference first}; a `case` is a patient, under the names of its cases.

    Raises:
        ValueError: the two do not hold the same patients, or hold none.
    """
    if not current or set(current) != set(candidate):
        raise ValueError(
            f"the gate compares the same patients: the current model has {sorted(current)}, the candidate "
            f"{sorted(candidate)}"
        )
    rows = [_row(case, _number(current[case]), _number(candidate[case])) for case in sorted(current)]
    rows.sort(key=lambda row: row["difference"])
    means = {key: sum(row[key] for row in rows) / len(rows) for key in ("current", "candidate")}
    gain = means["candidate"] - means["current"]
    fallen = [row for row in rows if row["difference"] < -rule.max_case_drop]
    refusals = _refusals(means, gain, fallen, rule)
    reasons = refusals or [_praise(means, gain, fallen, rule)]
    return {
        "accepted": not refusals,
        "reasons": reasons,
        "rule": asdict(rule),
        "dice": {**means, "difference": gain},
        "cases": rows,
    }


def _refusals(means: Mapping[str, float], gain: float, fallen: list[dict], rule: GateRule) -> list[str]:
    reasons = []
    if gain < -rule.margin - 1e-9:
        reasons.append(
            f"mean Dice {means['candidate']:.3f} is lower than {means['current']:.3f} of the current model by more "
            f"than the margin of {rule.margin:g}"
        )
    if gain < rule.outweighing_gain:
        reasons += [
            f"{row['case']} falls from {row['current']:.3f} to {row['candidate']:.3f}, by more than "
            f"{rule.max_case_drop:g}"
            for row in fallen
        ]
    return reasons


def _praise(means: Mapping[str, float], gain: float, fallen: list[dict], rule: GateRule) -> str:
    text = f"mean Dice {means['candidate']:.3f}, {gain:+.3f} against the current model"
    if not fallen:
        return text + f"; no patient falls by more than {rule.max_case_drop:g}"
    return text + f", outweighs that {', '.join(row['case'] for row in fallen)} fell"


def _row(case: str, current: float, candidate: float) -> dict[str, Any]:
    return {"case": case, "current": current, "candidate": candidate, "difference": candidate - current}


def _number(value: float | None) -> float:
    return 0.0 if value is None or not math.isfinite(value) else float(value)
