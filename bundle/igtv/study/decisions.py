"""The decision rules, fixed before any arm is run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .outcome import Row, choose_rows, comparable, missing_tests, paired_outcome

YES, NO, OPEN, INCOMPLETE = "supported", "contradicted", "not decided", "incomplete"


def decide(
    rule: Mapping[str, Any],
    rows: Sequence[Row],
    size: int,
    resamples: int,
    seeds: Sequence[int],
    patients: Iterable[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Decide one hypothesis.

    "supported": the 95 % interval of the paired difference `first` - `second` in `metric` lies above `above`, the
    difference of every seed too, and, where the rule says `no_loss_metric`, the interval of that difference lies above
    -`no_loss_margin`. "contradicted": the interval in `metric` and the difference of every seed lie below `above`. The
    interval resamples patients alone; the seeds stand for pre-training and training anew. "incomplete": an arm has not
    been tested with every seed on every patient. Anything else is "not decided". Beside it stands whether the mean
    difference reaches what was `hoped`.

    Args:
        rule: name, question, metric, first, second, above, hoped and, if wanted, no_loss_metric, no_loss_margin.
        rows: of all tests.
        size: number of labelled patients at which it is decided.
        resamples: of the bootstrap.
        seeds: that both arms are to be tested with.
        patients: that both arms are to be tested on.
        seed: of the bootstrap.

    Returns:
        The rule with `verdict`, `missing` (tests, as texts), `difference` and `no_loss`, both None where nothing can be
        compared.
    """
    chosen = {side: choose_rows(rows, rule[side], size) for side in ("first", "second")}
    patients = set(patients)
    missing = [text for side, found in chosen.items() for text in missing_tests(found, rule[side], seeds, patients)]
    made = {**rule, "size": size, "verdict": INCOMPLETE, "missing": missing, "difference": None, "no_loss": None}
    if not comparable(*chosen.values()) or len({frozenset(_patients(found)) for found in chosen.values()}) > 1:
        return made | {"reaches_hoped": False}
    made["difference"] = difference = paired_outcome(*chosen.values(), rule["metric"], resamples, seed)
    if rule.get("no_loss_metric"):
        made["no_loss"] = loss = paired_outcome(*chosen.values(), rule["no_loss_metric"], resamples, seed)
        loss["held"] = bool(loss["ci_low"] > -rule["no_loss_margin"])
    if not missing:
        made["verdict"] = _verdict(rule, difference, made["no_loss"])
    return made | {"reaches_hoped": bool(difference["mean_difference"] >= rule["hoped"])}


def _verdict(rule: Mapping[str, Any], difference: Mapping[str, Any], no_loss: Mapping[str, Any] | None) -> str:
    seeds = list(difference["by_seed"].values())
    if difference["ci_low"] > rule["above"] and min(seeds) > rule["above"]:
        return YES if no_loss is None or no_loss["held"] else OPEN
    return NO if difference["ci_high"] < rule["above"] and max(seeds) < rule["above"] else OPEN


def _patients(rows: Iterable[Row]) -> set[str]:
    return {row["patient"] for row in rows}
