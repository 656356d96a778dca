"""Which CT and PET of a study in the PACS belong together, by the rules of `igtv.dicom.pairing`; decided once."""

import json
import logging
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from igtv.dicom.errors import DicomError
from igtv.dicom.pairing import one_pet, pair, pet_candidates
from igtv.dicom.phases import find_four_d
from igtv.dicom.series import group_into_series
from igtv.files import replacing

from .pacs import Pacs
from .pacs_listing import Listing

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
        self._lock = threading.Lock()

    def of_study(self, study_uid: str, listing: Listing) -> StudyPair:
        """The pair of a study.

        Raises:
            PacsError: headers were needed and the PACS does not answer.
        """
        cts, pets = listing.of_study(study_uid)
        if not cts or not pets:
            return StudyPair("", "", f"its study has no {'PET' if cts else 'CT'} series")
        chosen = self._choice()
        for ct in cts:
            if chosen.get(ct.uid) in {pet.uid for pet in pets}:
                return StudyPair(ct.uid, chosen[ct.uid], f"chosen by {self._chosen.name}")
        key = sorted([one.uid, one.number_of_objects] for one in (*cts, *pets))
        path = self._folder / f"{study_uid}.json"
        with self._lock:
            known = _read(path)
            if known.get("series") != key:
                decision = self._decide([*cts, *pets])
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps({"series": key, "pair": asdict(decision)}), encoding="utf-8")
                return decision
        return StudyPair(**known["pair"])

    def needs_headers(self, study_uid: str, listing: Listing) -> bool:
        """Whether a study offers a choice; one CT with one PET does not."""
        cts, pets = listing.of_study(study_uid)
        return len(cts) > 1 or len(pets) > 1

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
        content = _read(self._chosen)
        return {str(ct): str(pet) for ct, pet in content.items()}


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read and is passed over: %s", path.name, error)
        return {}
    return content if isinstance(content, dict) else {}
