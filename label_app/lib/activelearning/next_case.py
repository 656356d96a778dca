"""The next case for an annotator."""

import secrets
from collections.abc import Mapping
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
NEED_SCORES = ("uncertainty", "foreground_random", "diverse")


class NextCase(Strategy):
    """A strategy of `igtv.learning.selection` on what is unlabelled and with nobody else.

    Reads scores and never waits for the network: what has no score yet is scored in the background, and until the
    first score of a new model the choice is by chance, which the answer says.

    Args:
        name: one of `STRATEGIES`.
        scorer: has the scores.
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
        unlabelled = datastore.get_unlabeled_images()
        version = self.scorer.registry.current()
        known = self.scorer.book.scores(version)
        held_out = self.held_out.among(unlabelled, datastore)
        with self.given_out.lock:
            mine = self.given_out.with_me(annotator, unlabelled)
            others = self.given_out.with_others(annotator, unlabelled)
            free = [case for case in unlabelled if case not in others and case not in mine]
            answer = self._answer(free, mine, held_out, known)
            if answer is None:
                return None
            self.given_out.give(answer["id"], annotator)
        if self.name in NEED_SCORES:
            self.scorer.start()
        score = known.get(answer["id"])
        if score is not None:
            answer |= {"uncertainty": round(score.uncertainty, 4), "tumour_ml": round(score.foreground_ml, 2)}
        return {**answer, "strategy_used": self.name, "model": version.name, "model_version": version.number}

    def _answer(
        self, free: list[str], mine: list[str], held_out: set[str], known: Mapping[str, CaseScore]
    ) -> dict[str, Any] | None:
        """A new case to learn from, else one that this annotator has, else one that no training will see."""
        wanted = [case for case in free if case not in held_out]
        waiting = [case for case in mine if case not in held_out]
        if wanted:
            return self._choose(wanted, known)
        if waiting:
            return {"id": waiting[0], "note": "given to you before and not submitted; there is no other case left"}
        if free:
            return {**self._choose(free, known), "note": HELD_OUT_NOTE}
        return {"id": mine[0], "note": HELD_OUT_NOTE} if mine else None

    def _choose(self, free: list[str], known: Mapping[str, CaseScore]) -> dict[str, Any]:
        seed = secrets.randbits(31)
        if self.name not in NEED_SCORES:
            return {"id": select(dict.fromkeys(free, CaseScore()), (), self.name, seed)[0]}
        chosen = select(known, set(known) - set(free), self.name, seed)
        if chosen:
            return {"id": chosen[0]}
        note = "chosen by chance: the current model has not scored the cases yet, which it does now"
        return {"id": select(dict.fromkeys(free, CaseScore()), (), "random", seed)[0], "note": note}


def annotator_of(request: Mapping[str, Any]) -> str:
    """Whom a request comes from: who is logged in, else what the viewer says, which then is all there is."""
    user, client = request.get("user"), request.get("client_id")
    return str(client or user or LOCAL_USER) if user in (None, "", LOCAL_USER) else str(user)
