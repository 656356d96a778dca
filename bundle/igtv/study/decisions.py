"""The decision rules, fixed before any arm is run."""

from collections.abc import Mapping, Sequence
from typing import Any

from .outcome import Row, choose_rows, comparable, paired_outcome

YES, NO, OPEN = "supported", "contradicted", "not decided"


def decide(
    rule: Mapping[str, Any], rows: Sequence[Row], size: int, resamples: int, seed: int = 0
) -> dict[str, Any] | None:
    """Decide one hypothesis.

    "supported": the 95 % interval of the paired difference `first` - `second` in `metric` lies above `above`, and,
    where the rule says `no_loss_metric`, the interval of that difference lies above -`no_loss_margin`.
    "contradicted": the interval in `metric` lies below `above`. Anything else is "not decided". Beside it stands
    whether the mean difference reaches what was `hoped`.

    Args:
        rule: name, question, metric, first, second, above, hoped and, if wanted, no_loss_metric, no_loss_margin.
        rows: of all tests.
        size: number of labelled patients at which it is decided.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The rule with `verdict`, `difference` and `no_loss`; None where an arm has not been tested.
    """
    first, second = (choose_rows(rows, rule[side], size) for side in ("first", "second"))
    if not comparable(first, second):
        return None
    difference = paired_outcome(first, second, rule["metric"], resamples, seed)
    verdict = OPEN
    if difference["ci_low"] > rule["above"]:
        verdict = YES
    elif difference["ci_high"] < rule["above"]:
        verdict = NO
    no_loss = None
    if rule.get("no_loss_metric"):
        no_loss = paired_outcome(first, second, rule["no_loss_metric"], resamples, seed)
        no_loss["held"] = bool(no_loss["ci_low"] > -rule["no_loss_margin"])
        if verdict == YES and not no_loss["held"]:
            verdict = OPEN
    return {
        **rule,
        "size": size,
        "verdict": verdict,
        "reaches_hoped": bool(difference["mean_difference"] >= rule["hoped"]),
        "difference": difference,
        "no_loss": no_loss,
    }
