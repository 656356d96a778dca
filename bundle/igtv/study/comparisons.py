"""Which arms are set against each other, patient by patient."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .outcome import OUTCOMES, Row, choose_rows, comparable, paired_outcome
from .plan import LONG, MOVED, UNTRAINED, StudyPlan


def pairs(plan: StudyPlan) -> Iterator[tuple[str, str, str]]:
    """(question, first arm, second arm) of all comparisons."""
    networks = {name: content.get("network", {}) for name, content in plan.architectures.items()}
    for name in networks:
        yield "pre-training", f"pretrained_{name}", f"scratch_{name}"
    for name in plan.main_architectures:
        yield "pre-training, equal steps", f"pretrained_{name}", f"{LONG}_{name}"
        yield "longer training", f"{LONG}_{name}", f"scratch_{name}"
        for second in ("scratch", LONG, "pretrained"):
            yield "pre-training with breathing", f"{MOVED}_{name}", f"{second}_{name}"
    for question, changed, value, other in (
        ("slice interaction", "sim", "none", "fusion"),
        ("fusion", "fusion", "rectified", "sim"),
    ):
        for name, second in _partners(networks, changed, value, other):
            for init in plan.starts(name):
                yield question, f"{init}_{name}", f"{init}_{second}"
    main = plan.main_architectures[0]
    for arm in plan.arms():
        if arm.startswith(UNTRAINED) and (arm in ("threshold", "perfect_gtv") or arm.endswith(main)):
            yield "learning from IGTV", f"pretrained_{main}", arm
            yield "learning from IGTV", f"{MOVED}_{main}", arm
    for name, content in plan.architectures.items():
        if content.get("overlay") is not None:
            for init in plan.starts(name):
                yield "our network or a CNN", f"{init}_{main}", f"{init}_{name}"


def compare_all(plan: StudyPlan, rows: Sequence[Row], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """All comparisons for which both arms were tested, one entry per question, size and outcome.

    Where an arm has not been tested on every patient yet, those that both have are compared (`n`, `left_out`).
    """
    found = []
    for question, first, second in pairs(plan):
        for size in sizes:
            chosen = [choose_rows(rows, arm, size) for arm in (first, second)]
            if not comparable(*chosen):
                continue
            for metric in OUTCOMES:
                numbers = paired_outcome(*chosen, metric, plan.resamples)
                found.append(
                    {"question": question, "first": first, "second": second, "size": size, "metric": metric, **numbers}
                )
    return found


def _partners(networks: Mapping[str, Mapping], changed: str, value: str, other: str) -> Iterator[tuple[str, str]]:
    """Architectures that differ in `changed` alone, the second of which has `value` there."""
    for name, network in networks.items():
        for second, reference in networks.items():
            if (
                reference.get(changed) == value
                and network.get(changed) not in (None, value)
                and network.get(other) == reference.get(other)
            ):
                yield name, second
