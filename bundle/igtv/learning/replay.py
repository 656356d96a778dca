"""What a cycle learns from: the labels that are new, earlier ones again, and cases of the pre-training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..configuration.plain_text import reads_as_configuration
from .case_identity import label_sha256, patient_of
from .frozen_set import FrozenSet
from .model_version import ModelVersion

NEW, REPLAY, PRETRAINING = "new", "replay", "pretraining"
CHECKED_FROM_PATIENTS = 5  # below this every patient is needed to learn from
CHECKED_SHARE = 0.2
KEPT = ("case", "ct", "pet", "label")


@dataclass(frozen=True)
class LearningData:
    """Cases of one cycle.

    Attributes:
        cases: to learn from, each with `role` (new, replay, pretraining) and `label_sha256` of what the label says;
            negatives have `no_tumour`.
        left_out: case -> why it is not among them.
    """

    cases: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def new(self) -> list[dict[str, Any]]:
        """The cases with a label that neither the current version nor its ancestors have learned from."""
        return [case for case in self.cases if case["role"] == NEW]


def choose_cases(
    labelled: Sequence[Mapping[str, Any]],
    frozen: FrozenSet,
    versions: Sequence[ModelVersion],
    current: ModelVersion,
    replay_cases: int | None = None,
    pretraining: Sequence[Mapping[str, Any]] = (),
    pretraining_cases: int = 0,
    seed: int = 0,
) -> LearningData:
    """Choose the cases of a cycle.

    New is a label that neither the current version nor those it descends from have learned from; one that only chose
    a best epoch is new still. Every new case takes part. Of the earlier ones all, or the `replay_cases` that were used
    least; ties are broken by `seed`.

    Args:
        labelled: `case`, `patient`, `ct`, `pet`, `label`, and `no_tumour` where the label says there is none; such a
            case is a negative to learn from, any other empty label is left out.
        frozen: its patients are left out, whatever their case is called.
        versions: all versions of the registry.
        current: version in use.
        replay_cases: earlier cases to learn from again; None: all.
        pretraining: labelled cases of the pre-training, as far as they are at hand.
        pretraining_cases: how many of those to mix in.
        seed: of the choice.
    """
    left_out: dict[str, str] = {}
    usable = [entry for entry in (_usable(case, frozen, left_out) for case in labelled) if entry]
    known = _learned_by(current, versions)
    used = Counter(entry["label_sha256"] for version in versions for entry in version.data)
    new = [case | {"role": NEW} for case in usable if case["label_sha256"] not in known]
    earlier = [case | {"role": REPLAY} for case in usable if case["label_sha256"] in known]
    chosen = earlier if replay_cases is None else _least_used(earlier, replay_cases, used, seed)
    for case in earlier:
        if case not in chosen:
            left_out[case["case"]] = f"earlier case, not among the {replay_cases} replayed this time"
    names = {case["case"] for case in usable}
    more = [entry for entry in (_usable(case, frozen, left_out) for case in pretraining) if entry]
    more = [case | {"role": PRETRAINING} for case in more if case["case"] not in names]
    return LearningData([*new, *chosen, *_least_used(more, pretraining_cases, used, seed)], left_out)


def split_checked(cases: Sequence[Mapping[str, Any]], seed: int) -> tuple[list[Mapping], list[Mapping]]:
    """Part of a cycle's patients that only chooses the best epoch, drawn anew in every cycle.

    Patients without a new label come first: a label that was just drawn is to be learned from, not to wait. Patients
    with a case of the pre-training are never drawn: their contours may be those of another task, and who is best on
    them is not who is best on the patients at hand.

    The frozen set must not choose it: a candidate picked by its Dice there would look better at the gate than it is.

    Args:
        cases: of the cycle.
        seed: of the choice.

    Returns:
        Cases that the network learns from, and those it is checked on: a fifth of the patients with tumour that may be
        drawn, none below five of them. Dice says nothing on cases without tumour: those of a checked patient are in
        neither part.
    """
    mixed_in = {patient_of(case) for case in cases if case.get("role") == PRETRAINING}
    patients = sorted({patient_of(case) for case in cases if not case.get("no_tumour")} - mixed_in)
    if len(patients) < CHECKED_FROM_PATIENTS:
        return list(cases), []
    order = np.random.RandomState(seed).permutation(len(patients))
    new = {patient_of(case) for case in cases if case.get("role") == NEW}
    drawn = sorted((patients[index] for index in order), key=lambda patient: patient in new)
    chosen = set(drawn[: max(1, int(CHECKED_SHARE * len(patients)))])
    learning = [case for case in cases if patient_of(case) not in chosen]
    return learning, [case for case in cases if patient_of(case) in chosen and not case.get("no_tumour")]


def _usable(case: Mapping[str, Any], frozen: FrozenSet, left_out: dict[str, str]) -> dict[str, Any] | None:
    """The case with the hash of its label; None, with the reason in `left_out`, where it must not be learned from."""
    try:
        reason = _unsafe(case) or frozen.leak(case)
        digest = None if reason else label_sha256(case)
    except OSError as error:
        reason, digest = f"it cannot be read: {error}", None
    if reason is None and digest is None:
        reason = "its label is empty, and nobody said that there is no tumour"
    if reason is not None:
        left_out[case["case"]] = reason
        return None
    kept = {key: str(case[key]) for key in KEPT} | ({"no_tumour": True} if case.get("no_tumour") else {})
    return {**kept, "patient": patient_of(case), "label_sha256": digest}


def _unsafe(case: Mapping[str, Any]) -> str | None:
    """Why a case must not come near the training's configuration; None where it may."""
    for key in (*KEPT, "patient"):
        value = patient_of(case) if key == "patient" else str(case[key])
        if reads_as_configuration(value):
            return (
                f"its {key} {value!r:.80} starts with {value[0]}, as an expression of a configuration does: rename it"
            )
    return None


def _learned_by(current: ModelVersion, versions: Sequence[ModelVersion]) -> set[str]:
    """Labels that the current version and its ancestors have learned from."""
    by_number = {version.number: version for version in versions}
    seen, version = set(), current
    while version is not None:
        seen |= {entry["label_sha256"] for entry in version.data}
        version = by_number.get(version.manifest.get("parent"))
    return seen


def _least_used(cases: list[dict], number: int, used: Counter, seed: int) -> list[dict]:
    random = np.random.RandomState(seed)
    ties = random.permutation(len(cases))
    order = sorted(range(len(cases)), key=lambda index: (used[cases[index]["label_sha256"]], ties[index]))
    return [cases[index] for index in sorted(order[: max(0, number)])]
