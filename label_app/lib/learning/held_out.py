"""Which cases are of the patients that no training sees: labelling them first would teach the model nothing."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from igtv.learning.frozen_set import FROZEN_FILE, frozen_names

from .labelled_cases import given_cases

logger = logging.getLogger(__name__)


class HeldOut:
    """The frozen validation set as the next sample looks at it: by name of patient and case, quickly.

    Args:
        folder: of the frozen set, which need not be there yet.
        given: path of the datalist that will become the set; empty: none.
    """

    def __init__(self, folder: Path, given: str = ""):
        self.folder = folder
        self.given = given
        self._read: tuple[object, tuple[set[str], set[str]]] = (None, (set(), set()))

    def among(self, cases: Collection[str], datastore: Any) -> set[str]:
        """The cases of such patients.

        Args:
            cases: ids of cases of the datastore.
            datastore: knows whose cases they are.
        """
        patients, names = self._names()
        if not patients:
            return set()
        # a patient's id may have been corrected since
        corrected = {datastore.patient_of(case) for case in datastore.list_images() if case in names}
        return {case for case in cases if case in names or datastore.patient_of(case) in patients | corrected}

    def _names(self) -> tuple[set[str], set[str]]:
        made = self.folder / FROZEN_FILE
        path = made if made.is_file() else Path(self.given) if self.given else None
        if path is None or not path.is_file():
            return set(), set()
        stamp = (path, path.stat().st_mtime_ns)
        if self._read[0] != stamp:
            self._read = (stamp, self._look(path, made))
        return self._read[1]

    def _look(self, path: Path, made: Path) -> tuple[set[str], set[str]]:
        try:
            if path == made:
                return frozen_names(self.folder)
            cases = given_cases(path)
        except (ValueError, OSError) as error:  # the next training says it too, and refuses
            logger.warning("the next sample does not know the frozen validation set: %s", error)
            return set(), set()
        return {case["patient"] for case in cases}, {case["case"] for case in cases}
