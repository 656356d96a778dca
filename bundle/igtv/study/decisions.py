"""The decision rules, fixed before any arm is run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .outcome import Row, choose_rows, comparable, missing_tests, paired_outcome
from .plan import StudyPlan

YES, NO, OPEN, INCOMPLETE = "supported", "contradicted", "not decided", "incomplete"


def decide_all(
    plan: StudyPlan, rows: Sequence[Row], patients: Iterable[str], validation: Mapping[str, float]
) -> list[dict[str, Any]]:
    """All hypotheses of a plan at its main size, see `decide`."""
    return [
        decide(rule, rows, plan.main_size, plan.resamples, plan.seeds, patients, validation) for rule in plan.hypotheses
    ]


def decide(
    rule: Mapping[str, Any],
    rows: Sequence[Row],
    size: int,
    resamples: int,
    seeds: Sequence[int],
    patients: Iterable[str],
    validation: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Decide one hypothesis.

    "supported": the 95 % interval of the paired difference `first` - `second` in `metric` lies above `above`, the
    difference of every seed too, and, where the rule says `no_loss_metric`, the interval of that difference lies above
    -`no_loss_margin`. "contradicted": the interval in `metric` and the difference of every seed lie below `above`. The
    interval resamples patients alone; the seeds stand for pre-training and training anew. "incomplete": an arm has not
    been tested with every seed on every patient; the differences are then those of what both arms have. Anything else
    is "not decided". Beside it stands whether the mean difference reaches what was `hoped`, where something was.

    Where the rule names a `control` it is decided against the better of `second` and `control`, chosen by validation;
    the difference to the other one is returned too.

    Args:
        rule: name, question, metric, first, second, above and, if wanted, hoped, control, no_loss_metric and
            no_loss_margin.
        rows: of all tests.
        size: number of labelled patients at which it is decided.
        resamples: of the bootstrap.
        seeds: that both arms are to be tested with.
        patients: that both arms are to be tested on.
        validation: arm -> validation Dice, of the arms that a rule with a control chooses between.

    Returns:
        The rule with `against` (the arm it was decided against), `others` ({arm: difference to it}), `verdict`,
        `missing` (tests, as texts), `difference` and `no_loss`, both None where nothing can be compared.
    """
    patients, tested = set(patients), {}
    sides = [rule["second"], *([rule["control"]] if rule.get("control") else [])]
    for arm in (rule["first"], *sides):
        tested[arm] = choose_rows(rows, arm, size)
    missing = [text for arm, found in tested.items() for text in missing_tests(found, arm, seeds, patients)]
    missing += [f"{arm}: no validation" for arm in sides if len(sides) > 1 and arm not in (validation or {})]
    against = max(sides, key=lambda arm: (validation or {}).get(arm, -1.0))
    made = {**rule, "size": size, "against": against, "verdict": INCOMPLETE, "missing": missing}

    def difference(metric: str, arm: str) -> dict[str, Any] | None:
        pair = tested[rule["first"]], tested[arm]
        return paired_outcome(*pair, metric, resamples) if comparable(*pair) else None

    made["difference"] = found = difference(rule["metric"], against)
    made["others"] = {arm: difference(rule["metric"], arm) for arm in sides if arm != against}
    made["no_loss"] = loss = difference(rule["no_loss_metric"], against) if rule.get("no_loss_metric") else None
    if loss is not None:
        loss["held"] = bool(loss["ci_low"] > -rule["no_loss_margin"])
    if not missing and found is not None:
        made["verdict"] = _verdict(rule, found, loss)
    if "hoped" in rule:
        made["reaches_hoped"] = found is not None and bool(found["mean_difference"] >= rule["hoped"])
    return made


def _verdict(rule: Mapping[str, Any], difference: Mapping[str, Any], no_loss: Mapping[str, Any] | None) -> str:
    seeds = list(difference["by_seed"].values())
    if difference["ci_low"] > rule["above"] and min(seeds) > rule["above"]:
        return YES if no_loss is None or no_loss["held"] else OPEN
    return NO if difference["ci_high"] < rule["above"] and max(seeds) < rule["above"] else OPEN
