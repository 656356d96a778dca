"""Scores for the cases, in the background, behind the annotators' own requests."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from igtv.dicom.errors import DicomError
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.infer.inputs import InferCase, requested_case
from lib.server.network_queue import NetworkBusy
from lib.studies.errors import PetMissing
from lib.studies.pacs import PacsError

from .score_book import ScoreBook

PATIENCE_S = 0.2
# a case that failed for a reason that may pass is tried again after this time
RETRY_S = 60.0
# one whose images are at fault too: its study may have been complete only later
IMAGES_RETRY_S = 600.0

logger = logging.getLogger(__name__)


def _silently(line: str = "") -> None:
    """What is told nobody, and goes on to the end."""


class CaseScorer:
    """Brings the score book up to the current model: each case once per version.

    Those that wait for an annotator come first; the labelled ones are what `diverse` keeps away from.

    Args:
        app: with `proposals`, `network`, `datastore()`.
        registry: of the model whose scores count.
        book: where they go.

    Attributes:
        problems: {case: why it cannot be scored}, where its images are the reason; until it is scored after all, or
            segmented for an annotator.
    """

    def __init__(self, app: Any, registry: Any, book: ScoreBook):
        self.app = app
        self.registry = registry
        self.book = book
        self.problems: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._running = threading.Lock()
        app.proposals.listeners.append(self._listen)

    def score_missing(self, say: Callable[..., None] = _silently) -> dict[str, int]:
        """Score what has no score of the current version; returns how many were scored, and how many failed.

        Ends early when the server closes, where another call does the same work already, and when the PACS does not
        answer or the network has no turn: what is left is tried again by a later call.

        Args:
            say: told of every case, and asked while others have the network; ends the scoring by an exception.
        """
        done = {"scored": 0, "failed": 0}
        if not self._running.acquire(blocking=False):
            return done
        try:
            while (case := self._next()) is not None and not self._closing():
                version = self.registry.current()
                self._wait_for_annotators(say)
                try:
                    self._score(case, version)
                    done["scored"] += 1
                    note = "scored"
                except Exception as error:  # one bad case must not keep the others from their scores
                    logger.warning("case %s could not be scored: %s", case, error)
                    done["failed"] += 1
                    note = "could not be scored"
                    if self._goes_for_all(case, error):
                        break
                say(f"{case}: {note}")
        finally:
            self._running.release()
        return done

    def start(self) -> None:
        """Score in a thread of its own, when something is missing and nobody does it yet."""
        if not self._running.locked() and self._next() is not None:
            threading.Thread(target=self.score_missing, name="scoring", daemon=True).start()

    def _goes_for_all(self, case: str, error: Exception) -> bool:
        """Note when a case that failed may be tried again; whether the next one would fare no better now."""
        if isinstance(error, (PetMissing, DicomError)):
            self.problems[case] = str(error)
            self._not_before[case] = time.monotonic() + IMAGES_RETRY_S
            return False
        self._not_before[case] = time.monotonic() + RETRY_S
        return isinstance(error, (PacsError, NetworkBusy))

    def _score(self, case: str, version: Any) -> None:
        stored = requested_case({"case_id": case}, self.app.datastore())
        proposal = self.app.proposals.get(version, stored, keep=False)
        if self.book.missing(version, [case]):  # computed before, for a registry with the very same weights
            self.book.record(case, version, proposal)
        self.problems.pop(case, None)

    def _listen(self, case: InferCase, version: Any, proposal: Any) -> None:
        if version.name == self.registry.name:
            self.book.record(case.name, version, proposal)
        self.problems.pop(case.name, None)

    def _next(self) -> str | None:
        datastore = self.app.datastore()
        wanted = [*datastore.get_unlabeled_images(), *datastore.get_labeled_images()]
        missing = self.book.missing(self.registry.current(), wanted)
        now = time.monotonic()
        return next((case for case in missing if self._not_before.get(case, now) <= now), None)

    def _closing(self) -> bool:
        closing = getattr(self.app, "closing", None)
        return closing is not None and closing.is_set()

    def _wait_for_annotators(self, say: Callable[..., None]) -> None:
        while (self.app.network.busy or self.app.network.waiting) and not self._closing():
            say()
            time.sleep(PATIENCE_S)


class ScoreCases(ScoringMethod):
    """MONAI Label's way to ask for the scores.

    Args:
        scorer: does the work.
    """

    def __init__(self, scorer: CaseScorer):
        super().__init__("Entropy round the tumour, volume and features of every case, once per model")
        self.scorer = scorer

    def __call__(self, request: dict[str, Any], datastore: Any, say: Callable[..., None] = _silently) -> dict[str, int]:
        return self.scorer.score_missing(say)
