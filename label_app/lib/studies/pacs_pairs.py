"""Which CT and PET of a study in the PACS belong together, by the rules of `igtv.dicom.pairing`; decided once.

A study that offers a choice is decided by its headers, for which the PACS is asked; what is known needs nobody.
"""

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from igtv.dicom.errors import DicomError
from igtv.dicom.pairing import one_pet, pair, pet_candidates
from igtv.dicom.phases import find_four_d
from igtv.dicom.series import group_into_series
from igtv.files import file_state, write_json

from .pacs import Pacs
from .pacs_listing import Listing, PacsSeries

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyPair:
    """The decision about a study.

    Attributes:
        ct, pet: series UIDs; "" where there is none.
        reason: why there is none, or why these.
    """

    ct: str
    pet: str
    reason: str


class PacsPairs:
    """Decisions, kept in a folder and made again when the series of a study change.

    Args:
        pacs: asked for headers.
        folder: of the decisions.
        chosen: {CT UID: PET UID}, JSON that a person may write for studies in which several fit.
    """

    def __init__(self, pacs: Pacs, folder: Path, chosen: Path):
        self._pacs = pacs
        self._folder = folder
        self._chosen = chosen
        self._read_choice: tuple[tuple[int, int] | None, dict[str, str]] = (None, {})
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._decided: dict[str, tuple[list, StudyPair]] = {}
        self._asking: dict[str, threading.Thread] = {}
        self._asking_lock = threading.Lock()

    def known(self, study_uid: str, listing: Listing) -> StudyPair | None:
        """The pair of a study as far as it is known without asking the PACS; None where its headers must tell."""
        cts, pets = listing.of_study(study_uid)
        if not cts or not pets:
            return StudyPair("", "", f"its study has no {'PET' if cts else 'CT'} series")
        chosen = self._choice()
        for ct in cts:
            if chosen.get(ct.uid) in {pet.uid for pet in pets}:
                return StudyPair(ct.uid, chosen[ct.uid], f"chosen by {self._chosen.name}")
        key = _key(cts, pets)
        if self._decided.get(study_uid, ([], None))[0] != key:
            known = _read(self._path(study_uid))
            try:
                pair = StudyPair(**known["pair"]) if known.get("series") == key else None
            except (KeyError, TypeError):  # a damaged decision is made again
                pair = None
            if pair is None:
                return None
            self._keep(study_uid, key, pair)
        return self._decided[study_uid][1]

    def of_study(self, study_uid: str, listing: Listing) -> StudyPair:
        """The pair of a study; waits for the PACS where it is not known.

        Raises:
            PacsError: headers were needed and the PACS does not answer.
        """
        pair = self.known(study_uid, listing)
        if pair is not None:
            return pair
        with self._locks[study_uid]:
            pair = self.known(study_uid, listing)  # somebody else may have asked meanwhile
            if pair is None:
                cts, pets = listing.of_study(study_uid)
                pair = self._decide([*cts, *pets])
                content = {"series": _key(cts, pets), "pair": asdict(pair)}
                write_json(self._path(study_uid), content)
                self._keep(study_uid, content["series"], pair)
        return pair

    def soon(self, study_uid: str, listing: Listing, seconds: float) -> StudyPair | None:
        """The pair of a study for somebody who does not wait longer; None where it is not known by then."""
        pair = self.known(study_uid, listing)
        if pair is not None:
            return pair
        with self._asking_lock:
            asking = self._asking.get(study_uid)
            if asking is None or not asking.is_alive():
                arguments = (study_uid, listing)
                asking = threading.Thread(target=self._of_study_quietly, args=arguments, daemon=True, name="PACS pair")
                asking.start()
                self._asking[study_uid] = asking
        asking.join(seconds)
        return self.known(study_uid, listing)

    def needs_headers(self, study_uid: str, listing: Listing) -> bool:
        """Whether a study offers a choice; one CT with one PET does not."""
        cts, pets = listing.of_study(study_uid)
        return len(cts) > 1 or len(pets) > 1

    def _of_study_quietly(self, study_uid: str, listing: Listing) -> None:
        try:
            self.of_study(study_uid, listing)
        except Exception as error:
            logger.warning("study %s is not decided: %s", study_uid, error)

    def _path(self, study_uid: str) -> Path:
        return self._folder / f"{study_uid}.json"

    def _keep(self, study_uid: str, key: list, pair: StudyPair) -> None:
        if not pair.ct:
            logger.info("study %s is not listed: %s", study_uid, pair.reason)
        self._decided[study_uid] = (key, pair)

    def _decide(self, members) -> StudyPair:
        headers = []
        for one in members:
            found = self._pacs.headers(one.study_uid, one.uid)
            headers += [(Path(str(header.get("SOPInstanceUID", one.uid))), header) for header in found]
        series, _ = group_into_series(headers)
        try:
            pets, decisions = pet_candidates(series)
            if not pets:
                raise DicomError("it has no PET that can be used")
            pet = one_pet(pets)
            found = pair(pet, series, find_four_d(series, allow_missing_phases=True))
            if found.ct is None:
                raise DicomError("in the PET's frame of reference there is a 4D-CT only; import it to get one CT of it")
        except DicomError as error:
            hint = f' (series are chosen in {self._chosen.name}: {{"<CT UID>": "<PET UID>"}})'
            return StudyPair("", "", f"{error}{hint}")
        return StudyPair(found.ct.series_uid, pet.series_uid, "; ".join([*decisions, *found.decisions]))

    def _choice(self) -> dict[str, str]:
        """What a person chose, read anew when the file has changed: every study of a listing asks for it."""
        mark = file_state(self._chosen)
        if self._read_choice[0] != mark:
            self._read_choice = mark, {str(ct): str(pet) for ct, pet in _read(self._chosen).items()}
        return self._read_choice[1]


def _key(cts: Sequence[PacsSeries], pets: Sequence[PacsSeries]) -> list:
    """What a decision holds for: it is made again when the series of a study change."""
    return sorted([one.uid, one.number_of_objects] for one in (*cts, *pets))


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read and is passed over: %s", path.name, error)
        return {}
    return content if isinstance(content, dict) else {}
