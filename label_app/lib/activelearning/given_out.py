"""Who has which case on the table, so that no case goes to two annotators."""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from igtv.files import write_json

LEASE_S = 4 * 3600.0

logger = logging.getLogger(__name__)


class GivenOut:
    """Cases that annotators were given and have not submitted; they come back after a while. Survives a restart.

    A case that is not listed for a moment, as that of a study which is still arriving in the PACS, stays with whom it
    was given to.

    Args:
        path: JSON file, {case: [annotator, time]}.
        lease_s: how long a case stays with an annotator, in s.
        clock: time in s.

    Attributes:
        lock: hold it from the choice of a case until it is `give`n.
    """

    def __init__(self, path: str | Path, lease_s: float = LEASE_S, clock: Callable[[], float] = time.time):
        self.path = Path(path)
        self.lease_s = lease_s
        self.clock = clock
        self.lock = threading.RLock()
        self._given = self._load()

    def with_others(self, annotator: str, waiting: Collection[str]) -> set[str]:
        """Cases among `waiting` that other annotators have."""
        with self.lock:
            waiting = set(waiting)
            return {case for case, (who, _) in self._still_given().items() if who != annotator and case in waiting}

    def with_me(self, annotator: str, waiting: Collection[str]) -> list[str]:
        """Cases among `waiting` that this annotator has, the one given longest ago first."""
        with self.lock:
            mine = [(since, case) for case, (who, since) in self._still_given().items() if who == annotator]
            waiting = set(waiting)
            return [case for _, case in sorted(mine) if case in waiting]

    def give(self, case: str, annotator: str) -> None:
        """Note that an annotator has a case from now on."""
        with self.lock:
            self._given[case] = (annotator, self.clock())
            try:
                write_json(self.path, self._given)
            except OSError as error:  # known until the next restart all the same
                logger.warning("could not note on disk who has case %s: %s", case, error)

    def forget(self, labelled: Collection[str]) -> None:
        """Cases that are labelled are with nobody any more."""
        with self.lock:
            labelled = set(labelled)
            self._given = {case: given for case, given in self._given.items() if case not in labelled}

    def _still_given(self) -> dict[str, tuple[str, float]]:
        """All but what was kept too long."""
        oldest = self.clock() - self.lease_s
        self._given = {case: (who, since) for case, (who, since) in self._given.items() if since > oldest}
        return self._given

    def _load(self) -> dict[str, tuple[str, float]]:
        if not self.path.is_file():
            return {}
        try:
            content = json.loads(self.path.read_text())
            return {str(case): (str(who), float(since)) for case, (who, since) in content.items()}
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("%s is damaged (%s): who has which case is not known any more", self.path.name, error)
            return {}
