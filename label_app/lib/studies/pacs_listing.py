"""Which CTs, PETs and label objects the PACS has; kept for a few seconds, renewed beside the requests."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset

from .image_id import is_image_id
from .pacs import Pacs, PacsError

logger = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
# a request for something unknown may be about what has just arrived in the PACS; one that hangs does not hold it up
PATIENCE_SECONDS = 3.0
FIELDS = ("NumberOfSeriesRelatedInstances", "SeriesDescription")


@dataclass(frozen=True)
class PacsSeries:
    """A series as a search finds it."""

    uid: str
    study_uid: str
    modality: str
    patient_id: str
    number_of_objects: int
    description: str


@dataclass(frozen=True)
class Listing:
    """All series that matter, by UID."""

    cts: dict[str, PacsSeries]
    pets: dict[str, PacsSeries]
    labels: dict[str, PacsSeries]

    def of_study(self, study_uid: str) -> tuple[list[PacsSeries], list[PacsSeries]]:
        """CTs and PETs of one study."""
        cts, pets = self._by_study
        return cts.get(study_uid, []), pets.get(study_uid, [])

    @cached_property
    def _by_study(self) -> tuple[dict[str, list[PacsSeries]], dict[str, list[PacsSeries]]]:
        return _by_study(self.cts), _by_study(self.pets)


class PacsListing:
    """The newest listing known.

    Args:
        pacs: where to look.
        renewed: called after every renewal, in the thread that renewed.
    """

    def __init__(self, pacs: Pacs, renewed: Callable[[], None] = lambda: None):
        self._pacs = pacs
        self._renewed = renewed
        self._lock = threading.Lock()
        self._listing: Listing | None = None
        self._asked = -FRESH_SECONDS

    def get(self) -> Listing:
        """The listing without waiting, but for the first time; an old one is renewed for the next request.

        Raises:
            PacsError: the PACS has never answered.
        """
        if self._listing is None:
            self.renew()
        elif self._is_due():
            self._renew_beside()
        return self._listing

    def renew(self) -> Listing:
        """Ask the PACS now.

        Raises:
            PacsError: it does not answer.
        """
        with self._lock:
            self._asked = time.monotonic()
            found = {}
            for modality in ("CT", "PT", "SEG", "RTSTRUCT"):
                datasets = self._pacs.find_series({"Modality": modality}, FIELDS)
                found[modality] = {one.uid: one for one in map(_series, datasets) if one.modality == modality}
            self._listing = Listing(found["CT"], found["PT"], found["SEG"] | found["RTSTRUCT"])
        self._renewed()
        return self._listing

    def renew_for(self, image_id: str) -> Listing:
        """The listing, asked for anew when an image is not in it, at most every few seconds.

        It waits for the answer, but not long: a PACS that hangs leaves the listing as it was.
        """
        listing = self._listing
        if listing and image_id not in listing.cts and image_id not in listing.pets and self._is_due():
            self._renew_beside().join(PATIENCE_SECONDS)
        return self.get()

    def _is_due(self) -> bool:
        return time.monotonic() - self._asked > FRESH_SECONDS and not self._lock.locked()

    def _renew_beside(self) -> threading.Thread:
        self._asked = time.monotonic()  # from now on, so that no other request starts one too
        thread = threading.Thread(target=self._renew_quietly, daemon=True, name="PACS listing")
        thread.start()
        return thread

    def _renew_quietly(self) -> None:
        try:
            self.renew()
        except PacsError as error:
            logger.warning("the list of cases stays as it was: %s", error)


def _by_study(found: dict[str, PacsSeries]) -> dict[str, list[PacsSeries]]:
    studies: dict[str, list[PacsSeries]] = defaultdict(list)
    for one in found.values():
        studies[one.study_uid].append(one)
    return studies


def _series(dataset: Dataset) -> PacsSeries:
    uid = str(dataset.get("SeriesInstanceUID", ""))
    return PacsSeries(
        uid=uid,
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        modality=str(dataset.get("Modality", "")) if is_image_id(uid) else "",
        patient_id=str(dataset.get("PatientID", "") or ""),
        number_of_objects=int(dataset.get("NumberOfSeriesRelatedInstances") or 0),
        description=str(dataset.get("SeriesDescription", "") or ""),
    )
