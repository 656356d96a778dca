"""The rule by which a candidate replaces the current model, or does not.

Both are measured on the frozen validation set. The candidate is accepted when

1. its mean Dice per patient is at least that of the current model minus `margin`, and
2. no patient's Dice falls by more than `max_case_drop`, unless the mean rises by `outweighing_gain` or more,

and when both hold against every version that the current model descends from, too: what is allowed once is not allowed
again in each cycle, or many small steps would lead far down.

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
        margin: by which the mean may be lower than that of the current model and of each of its ancestors.
        max_case_drop: by which one patient may fall below any of them.
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


def judge(
    current: Mapping[str, float],
    candidate: Mapping[str, float],
    rule: GateRule,
    ancestors: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Decide.

    Args:
        current: Dice of the current model by patient of the frozen set, see `by_patient`.
        candidate: Dice of the candidate by the same patients.
        rule: the rule.
        ancestors: the same of the versions that the current model descends from, by their names.

    Returns:
        {"accepted", "reasons", "rule", "dice": {"current", "candidate", "difference"}, "ancestors": {name: mean Dice},
        "cases": [{"case", "current", "candidate", "difference"}], worst difference first}; a `case` is a patient, under
        the names of its cases.

    Raises:
        ValueError: they do not hold the same patients, or hold none.
    """
    earlier = {name: {case: _number(value) for case, value in dice.items()} for name, dice in (ancestors or {}).items()}
    for name, dice in {"the current model": current, **earlier}.items():
        if not dice or set(dice) != set(candidate):
            raise ValueError(
                f"the gate compares the same patients: {name} has {sorted(dice)}, the candidate {sorted(candidate)}"
            )
    rows = [_row(case, _number(current[case]), _number(candidate[case])) for case in sorted(current)]
    rows.sort(key=lambda row: row["difference"])
    means = {key: sum(row[key] for row in rows) / len(rows) for key in ("current", "candidate")}
    gain = means["candidate"] - means["current"]
    fallen = [row for row in rows if row["difference"] < -rule.max_case_drop]
    refusals = _refusals(means, gain, fallen, rule) or _refusals_by_ancestors(rows, means["candidate"], earlier, rule)
    reasons = refusals or [_praise(means, gain, fallen, rule)]
    return {
        "accepted": not refusals,
        "reasons": reasons,
        "rule": asdict(rule),
        "dice": {**means, "difference": gain},
        "ancestors": {name: _mean(dice) for name, dice in earlier.items()},
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


def _refusals_by_ancestors(
    rows: list[dict], mean: float, earlier: Mapping[str, Mapping[str, float]], rule: GateRule
) -> list[str]:
    """The rule against each ancestor; named is the one that the mean, or a patient, fell furthest below."""
    if not earlier:
        return []
    reasons = []
    means = {name: _mean(dice) for name, dice in earlier.items()}
    best = max(means, key=means.get)
    if mean - means[best] < -rule.margin - 1e-9:
        reasons.append(
            f"mean Dice {mean:.3f} is lower than {means[best]:.3f} of {best}, from which the current model descends, "
            f"by more than the margin of {rule.margin:g}"
        )
    not_outweighed = {name: dice for name, dice in earlier.items() if mean - means[name] < rule.outweighing_gain}
    for row in rows:
        name = max(not_outweighed, key=lambda name: earlier[name][row["case"]], default=None)
        if name is not None and row["candidate"] - earlier[name][row["case"]] < -rule.max_case_drop:
            reasons.append(
                f"{row['case']} falls from {earlier[name][row['case']]:.3f} with {name}, from which the current model "
                f"descends, to {row['candidate']:.3f}, by more than {rule.max_case_drop:g}"
            )
    return reasons


def _mean(dice: Mapping[str, float]) -> float:
    return sum(dice.values()) / len(dice)


def _praise(means: Mapping[str, float], gain: float, fallen: list[dict], rule: GateRule) -> str:
    text = f"mean Dice {means['candidate']:.3f}, {gain:+.3f} against the current model"
    if not fallen:
        return text + f"; no patient falls by more than {rule.max_case_drop:g}"
    return text + f", outweighs that {', '.join(row['case'] for row in fallen)} fell"


def _row(case: str, current: float, candidate: float) -> dict[str, Any]:
    return {"case": case, "current": current, "candidate": candidate, "difference": candidate - current}


def _number(value: float | None) -> float:
    return 0.0 if value is None or not math.isfinite(value) else float(value)
