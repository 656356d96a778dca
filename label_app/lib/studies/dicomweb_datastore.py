"""Cases in a PACS: the id of a case is the SeriesInstanceUID of its CT, or of its PET for answers on the PET's grid.

The PACS is asked beside the requests. What lists cases or tells about one uses what is known by then and waits for
nobody; only what needs the volumes themselves waits for them.
"""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igtv.dicom.errors import DicomError

from lib.labels.intake import CheckedLabel
from lib.labels.label_store import LabelVersion
from lib.labels.pacs_labels import PacsLabels

from .data_folder import is_only_looked_at
from .errors import PetMissing, UnknownImage
from .image_id import PET_SUFFIX, is_image_id
from .pacs import Pacs, PacsError, PacsSlow
from .pacs_access import PacsAccess
from .pacs_listing import PacsListing, PacsSeries
from .pacs_pairs import PacsPairs
from .pacs_volumes import WAIT_SECONDS, PacsVolumes
from .paired_datastore import CASE, GRID, IMAGE, PairedDatastore

logger = logging.getLogger(__name__)

# a PACS that works has the label when the annotator is answered; one that hangs does not keep the annotator waiting
PUSH_SECONDS = 3.0
# a study that has just arrived is decided by then, where the PACS works
DECISION_SECONDS = 3.0
# a label is checked on the CT that is here, unless a newer one comes by then
NEWER_CT_SECONDS = 3.0


class PairedDicomWebDatastore(PairedDatastore):
    """Studies of a PACS.

    Args:
        address: of its DICOMweb service.
        data_dir: see `PairedDatastore`; `cache/` in it may be deleted at any time.
        access: user, password, certificate; None: those of the environment.

    Raises:
        PacsError: the PACS does not answer.
    """

    def __init__(self, address: str, data_dir: Path, access: PacsAccess | None = None):
        super().__init__(data_dir)
        self.pacs = Pacs(address, access)
        self._volumes = PacsVolumes(self.pacs, self.data_dir / "cache")
        self._pairs = PacsPairs(self.pacs, self.data_dir / "cache" / "pairs", self.data_dir / "pairs.json")
        self._exchange = PacsLabels(self)
        self._exchange_lock = threading.Lock()
        self._deciding = threading.Lock()
        self._listing = PacsListing(self.pacs, self._renewed)
        try:
            self._listing.renew()
        except PacsError as error:  # at the start the one who started the server reads it
            raise PacsError(f"{error}: {error.reason}" if error.reason else str(error)) from error

    def name(self) -> str:
        return self.infos.content()["name"] or self.pacs.address

    def case_ids(self) -> list[str]:
        """CTs with a PET. A study that offers a choice is listed once its headers have decided it."""
        listing, cases = self._listing.get(), []
        for study in sorted({one.study_uid for one in listing.pets.values()}):
            if not self._pairs.needs_headers(study, listing):
                cases += [one.uid for one in listing.of_study(study)[0]]
            elif (pair := self._pairs.known(study, listing)) is not None and pair.ct:
                cases.append(pair.ct)
        return sorted(cases)

    def undecided_labels(self) -> list[str]:
        """Labelled CTs of studies whose headers the PACS has not told yet."""
        listing = self._listing.get()
        labelled = [listing.cts[case] for case in self.labels.all_current() if case in listing.cts]
        studies = {one.study_uid for one in labelled if self._pairs.needs_headers(one.study_uid, listing)}
        undecided = {study for study in studies if self._pairs.known(study, listing) is None}
        return sorted(one.uid for one in labelled if one.study_uid in undecided)

    def has_case(self, case: str) -> bool:
        return case in self._listing.renew_for(case).cts

    def resolve(self, image_id: str) -> tuple[str, str]:
        if not is_image_id(image_id):
            raise UnknownImage(image_id)
        case = image_id.removesuffix(PET_SUFFIX)
        listing = self._listing.renew_for(case)
        if image_id in listing.cts:
            return image_id, "ct"
        if image_id in listing.pets:
            pair = self._pairs.soon(listing.pets[image_id].study_uid, listing, DECISION_SECONDS)
            if pair is None:
                raise PacsError("the PACS has not told yet which CT this PET belongs to; try again in a few seconds")
            if pair.pet != image_id:
                raise PetMissing(f"this PET is not the one that belongs to a CT of its study: {pair.reason}")
            return pair.ct, "pet"
        if case != image_id and case in listing.cts:
            return case, "pet"
        raise UnknownImage(image_id)

    def series(self, case: str) -> PacsSeries:
        """The CT series of a case.

        Raises:
            UnknownImage: there is no such case.
        """
        try:
            return self._listing.renew_for(case).cts[case]
        except KeyError:
            raise UnknownImage(case) from None

    def label_series(self) -> dict[str, PacsSeries]:
        """SEG and RTSTRUCT series of the PACS by UID."""
        return self._listing.get().labels

    def ct_path(self, case: str) -> Path:
        return self._volumes.ct(self.series(case))

    def ct_dicom(self, case: str) -> Path:
        """Folder with the DICOM files of the CT."""
        return self._volumes.dicom(self.series(case))

    def label_grid_path(self, case: str) -> Path:
        series = self.series(case)
        there = self._volumes.ct_there(series)
        try:
            return self._volumes.ct(series, time.monotonic() + NEWER_CT_SECONDS if there else None)
        except (PacsError, DicomError) as error:
            if there is None:
                raise
            logger.warning("a label of %s is checked on the CT that was fetched before: %s", case, error)
            return there

    def is_here(self, image_id: str, what: str = CASE) -> bool:
        case, grid = self.resolve(image_id)
        series, listing = self.series(case), self._listing.get()
        if what == GRID:
            return self._volumes.ct_there(series) is not None
        if what == IMAGE and grid == "ct":
            return self._volumes.is_here(series, "ct")
        pair = self._pairs.known(series.study_uid, listing)
        if pair is None or (pair.ct == case and not self._volumes.is_here(listing.pets[pair.pet], "pet")):
            return False
        return what == IMAGE or self._volumes.is_here(series, "ct")

    def case(self, image_id: str) -> dict[str, str]:
        until = time.monotonic() + WAIT_SECONDS  # for both together
        case, grid = self.resolve(image_id)
        ct, pet = self._volumes.ct(self.series(case), until), self._pet(case, until)
        return {"case": case, "patient_id": self.patient_of(case), "ct": str(ct), "pet": str(pet), "grid": grid}

    def pet_path(self, image_id: str) -> Path:
        return self._pet(self.resolve(image_id)[0], time.monotonic() + WAIT_SECONDS)

    def _pet(self, case: str, until: float) -> Path:
        study, listing = self.series(case).study_uid, self._listing.get()
        pair = self._pairs.soon(study, listing, max(0.0, until - time.monotonic()))
        if pair is None:
            raise PacsSlow("the PACS has not told yet which PET belongs to this CT; try again in a minute")
        if pair.ct != case:
            other = f"the PET of its study belongs to the CT {pair.ct}" if pair.ct else pair.reason
            raise PetMissing(f"this CT has no PET that can be used: {other}")
        try:
            return self._volumes.pet(listing.pets[pair.pet], until)
        except DicomError as error:
            raise PetMissing(f"the PET of this CT cannot be used: {error}") from error

    def patient_of(self, case: str) -> str:
        series = self.series(case)
        return series.patient_id or series.study_uid

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is noted about a case; its `path` where the CT was fetched before."""
        case, _ = self.resolve(image_id)
        series = self.series(case)
        facts = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": case, "PatientID": series.patient_id}
        path = self._volumes.ct_there(series)
        return {**facts, "Modality": "CT", **self.infos.entry("images", case), **({"path": str(path)} if path else {})}

    def accept(self, case: str, checked: CheckedLabel, event: Mapping[str, Any]) -> LabelVersion:
        """Store a label here, then in the PACS; what the PACS does not take now is offered again later."""
        version = super().accept(case, checked, event)
        pushing = threading.Thread(target=self._push, args=(version,), daemon=True, name="PACS label")
        pushing.start()
        pushing.join(PUSH_SECONDS)
        return version

    def _push(self, version: LabelVersion) -> None:
        try:
            self._exchange.push(version, wait=False)
        except Exception as error:
            text = "label %s of %s is stored here, not yet in the PACS: %s"
            logger.warning(text, version.number, version.case, error)

    def accept_from_pacs(self, case: str, checked: CheckedLabel, event: Mapping[str, Any]) -> LabelVersion:
        """Store a label that is in the PACS already."""
        return super().accept(case, checked, event)

    def refresh(self) -> None:
        """Ask the PACS for new studies and labels now, and wait for what it says."""
        self._listing.renew()
        self._decide_studies()
        self._exchange_labels()

    def _exchange_labels(self) -> None:
        """Labels drawn elsewhere come in, labels that the PACS did not take go out."""
        with self._exchange_lock:
            self._exchange.exchange()

    def _renewed(self) -> None:
        if is_only_looked_at(self.data_dir):  # whose folder it is exchanges its labels
            return
        for lock, work in ((self._exchange_lock, self._exchange_labels), (self._deciding, self._decide_studies)):
            if not lock.locked():
                threading.Thread(target=work, daemon=True, name=f"PACS{work.__name__}").start()

    def _decide_studies(self) -> None:
        """Ask the PACS for the headers of studies that offer a choice and are not decided."""
        with self._deciding:
            listing = self._listing.get()
            for study in sorted({one.study_uid for one in listing.pets.values()}):
                try:
                    if self._pairs.needs_headers(study, listing):
                        self._pairs.of_study(study, listing)
                except Exception as error:  # one study must not keep the others from being listed
                    logger.warning("study %s is not listed yet: %s", study, error)
