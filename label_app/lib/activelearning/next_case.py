"""The next case for an annotator."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from igtv.learning.selection import STRATEGIES, CaseScore, select
from monailabel.interfaces.tasks.strategy import Strategy

from lib.learning.held_out import HeldOut
from lib.server.access import LOCAL_USER

from .given_out import GivenOut
from .scoring import CaseScorer

HELD_OUT_NOTE = (
    "no other case is left: this patient is in the frozen validation set, so no training learns from the label"
)
WAITING_NOTE = "given to you before and not submitted; there is no other case left"
UNUSABLE_NOTE = "no other case is left, and no model can segment this one"
NEED_SCORES = ("uncertainty", "foreground_random", "diverse")


@dataclass(frozen=True)
class Waiting:
    """The unlabelled cases as one annotator finds them, and what else a choice looks at.

    Attributes:
        free: with nobody.
        mine: with this annotator, the one given longest ago first.
        held_out: of patients that no training sees; for `diverse` the labelled ones too.
        unusable: {case: why no model can segment it}.
        known: scores of cases by the current model.
        taken: labelled or given out; `diverse` keeps away from those that a training learns from.
    """

    free: list[str]
    mine: list[str]
    held_out: Collection[str]
    unusable: Mapping[str, str]
    known: Mapping[str, CaseScore]
    taken: Collection[str]


class NextCase(Strategy):
    """A strategy of `igtv.learning.selection` on what is unlabelled and with nobody else.

    Reads scores and never waits for the network: what has no score yet is scored in the background, and until the
    first score of a new model the choice is by chance, which the answer says. Cases of the frozen validation set come
    when no other is left, and after them those whose images the scoring found to be of no use, as without a PET.

    Args:
        name: one of `STRATEGIES`.
        scorer: has the scores, and knows what cannot be scored.
        given_out: who has which case.
        held_out: patients that no training sees; their cases come last.
    """

    def __init__(self, name: str, scorer: CaseScorer, given_out: GivenOut, held_out: HeldOut):
        super().__init__(STRATEGIES[name])
        self.name = name
        self.scorer = scorer
        self.given_out = given_out
        self.held_out = held_out

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        """Choose and give out.

        Args:
            request: `user`, who is logged in, and `client_id`, what the viewer calls its user.
            datastore: knows what is unlabelled.

        Returns:
            `id` and what the choice rests on; a `note` where there is something to say about it; None when every
            unlabelled case is with somebody else, or none is left.
        """
        annotator = annotator_of(request)
        version = self.scorer.registry.current()
        known = self.scorer.book.scores(version)
        with self.given_out.lock:
            answer = self._answer(self._waiting(annotator, datastore, known))
            if answer is None:
                return None
            self.given_out.give(answer["id"], annotator)
        if self.name in NEED_SCORES:
            self.scorer.start()
        score = known.get(answer["id"])
        if score is not None:
            answer |= {"uncertainty": round(score.uncertainty, 4), "tumour_ml": round(score.foreground_ml, 2)}
        return {**answer, "strategy_used": self.name, "model": version.name, "model_version": version.number}

    def _waiting(self, annotator: str, datastore: Any, known: Mapping[str, CaseScore]) -> Waiting:
        """Asked for under the lock, and the labelled cases first: what is submitted meanwhile is in neither list."""
        labelled = datastore.get_labeled_images()
        unlabelled = datastore.get_unlabeled_images()
        self.given_out.forget(labelled)
        mine = self.given_out.with_me(annotator, unlabelled)
        others = self.given_out.with_others(annotator, unlabelled)
        # `diverse` alone looks at what was labelled; telling whose cases they are may take a PACS its time
        asked = [*labelled, *unlabelled] if self.name == "diverse" else unlabelled
        return Waiting(
            free=[case for case in unlabelled if case not in others and case not in mine],
            mine=mine,
            held_out=self.held_out.among(asked, datastore),
            unusable=dict(self.scorer.problems),
            known=known,
            taken={*labelled, *mine, *others},
        )

    def _answer(self, waiting: Waiting) -> dict[str, Any] | None:
        """A new case to learn from, else one that this annotator has; only then what no training learns from."""
        usable = [case for case in (*waiting.free, *waiting.mine) if case not in waiting.unusable]
        tiers = (
            ({case for case in usable if case not in waiting.held_out}, ""),
            ({case for case in usable if case in waiting.held_out}, HELD_OUT_NOTE),
            (set(waiting.unusable), UNUSABLE_NOTE),
        )
        for tier, note in tiers:
            free = [case for case in waiting.free if case in tier]
            mine = [case for case in waiting.mine if case in tier]
            if not free and not mine:
                continue
            answer = self._choose(free, waiting) if free else {"id": mine[0], "note": WAITING_NOTE}
            if note:
                reason = waiting.unusable.get(answer["id"])
                answer["note"] = f"{note}: {reason}" if reason else note
            return answer
        return None

    def _choose(self, free: list[str], waiting: Waiting) -> dict[str, Any]:
        seed = secrets.randbits(31)
        if self.name not in NEED_SCORES:
            return {"id": select(dict.fromkeys(free, CaseScore()), (), self.name, seed)[0]}
        # nothing is learned from the others, as in the simulated campaign, which knows none of them
        learned = {case for case in waiting.taken if case not in waiting.held_out and case not in waiting.unusable}
        scores = {case: waiting.known[case] for case in learned.union(free) if case in waiting.known}
        chosen = select(scores, learned, self.name, seed)
        if chosen:
            return {"id": chosen[0]}
        note = "chosen by chance: the current model has not scored the cases yet, which it does now"
        return {"id": select(dict.fromkeys(free, CaseScore()), (), "random", seed)[0], "note": note}


def annotator_of(request: Mapping[str, Any]) -> str:
    """Whom a request comes from: who is logged in, else what the viewer says, which then is all there is."""
    user, client = request.get("user"), request.get("client_id")
    return str(client or user or LOCAL_USER) if user in (None, "", LOCAL_USER) else str(user)
