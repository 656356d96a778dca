"""Cases in a folder: `<id>.nii.gz` with its PET, or the folders that `importing` made, named by its datalist.

`patients.json` ({case: patient}) says which files are of one patient; a file that it does not name is a patient of its
own, unless a datalist says otherwise.
"""

import json
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from igtv.data.checks import find_problem
from igtv.data.datalist import DATALIST_NAME, read_datalist

from .errors import PetMissing, UnknownImage
from .image_id import as_image_id, is_image_id
from .paired_datastore import PairedDatastore

logger = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii")
PATIENTS_NAME = "patients.json"
PET_FOLDER = "pet"
PET_ENDING = "_pet"


@dataclass(frozen=True)
class CaseFiles:
    """Where a case lies; `pet` is None where there is none; `patient` is the file's name where nobody told it."""

    ct: Path
    pet: Path | None
    patient: str
    patient_told: bool = True


class PairedLocalDatastore(PairedDatastore):
    """A folder of NIfTI studies.

    The PET of a case is the one its datalist names, else `pet/<id>.nii.gz`, else `<id>_pet.nii.gz`.

    Args:
        studies: the folder; nothing in it is changed.
        data_dir: see `PairedDatastore`.
    """

    def __init__(self, studies: str | Path, data_dir: Path):
        self.studies = Path(studies).resolve()
        if not self.studies.is_dir():
            raise FileNotFoundError(f"the folder of the studies, {self.studies}, does not exist")
        self._lock = threading.Lock()
        self._listed: tuple[object, dict[str, CaseFiles]] = (None, {})
        self._problems: dict[tuple, str | None] = {}
        super().__init__(data_dir)
        self.cases()

    def cases(self) -> dict[str, CaseFiles]:
        """{id: files} of all cases; read again when folder or datalist have changed.

        Raises:
            ValueError: at start, the datalist or `patients.json` is damaged, or two cases have one id.
        """
        datalist = self.studies / DATALIST_NAME
        watched = [self.studies, self.studies / PET_FOLDER, datalist, self.studies / PATIENTS_NAME]
        stamp = tuple(path.stat().st_mtime_ns if path.exists() else None for path in watched)
        with self._lock:
            if self._listed[0] != stamp:
                try:
                    self._listed = (stamp, _find_cases(self.studies, datalist))
                except ValueError as error:
                    if self._listed[0] is None:
                        raise
                    # somebody edits the datalist while annotators work: they go on with the cases they have
                    logger.warning("the list of cases stays as it was: %s", error)
                    self._listed = (stamp, self._listed[1])
            return self._listed[1]

    def case_ids(self) -> list[str]:
        return list(self.cases())

    def has_case(self, case: str) -> bool:
        return case in self.cases()

    def ct_path(self, case: str) -> Path:
        return self._files(case).ct

    def pet_path(self, image_id: str) -> Path:
        case, _ = self.resolve(image_id)
        files = self._files(case)
        if files.pet is None or not files.pet.is_file():
            raise PetMissing(
                f"case {case} has no PET: put it (SUVbw, NIfTI) into {PET_FOLDER}/{case}.nii.gz or beside the CT as "
                f"{case}{PET_ENDING}.nii.gz"
            )
        problem = self._problem(files)
        if problem:
            raise PetMissing(f"case {case} cannot be used: {_without_folder(problem, self.studies)}")
        return files.pet

    def patient_of(self, case: str) -> str:
        return self._files(case).patient

    def cases_without_patient(self) -> list[str]:
        return [case for case, files in self.cases().items() if not files.patient_told]

    def _files(self, case: str) -> CaseFiles:
        try:
            return self.cases()[case]
        except KeyError:
            raise UnknownImage(case) from None

    def _problem(self, files: CaseFiles) -> str | None:
        """What is wrong with units, grid or overlap of a pair; looked at once as long as the files stay the same."""
        facts = [path.stat() for path in (files.ct, files.pet)]
        key = tuple((fact.st_ino, fact.st_mtime_ns, fact.st_size) for fact in facts)
        if key not in self._problems:
            pair = {"case": files.ct.name, "ct": str(files.ct), "pet": str(files.pet)}
            self._problems[key] = find_problem(pair, need_label=False)
        return self._problems[key]


def _find_cases(studies: Path, datalist: Path) -> dict[str, CaseFiles]:
    found: dict[str, CaseFiles] = {}
    listed: set[Path] = set()  # a file that the datalist names is no further case of its own
    if datalist.is_file():
        for item in read_datalist(datalist).items:
            _enter(found, as_image_id(item.case), CaseFiles(Path(item.ct), Path(item.pet), item.patient))
            listed |= {Path(path).resolve() for path in (item.ct, item.pet, item.label) if path}
    files = (path for path in sorted(studies.iterdir()) if path.is_file() and path.resolve() not in listed)
    images = {_stem(path): path for path in files if _stem(path)}
    for name, path in images.items():
        if name.endswith(PET_ENDING) and name.removesuffix(PET_ENDING) in images:
            continue
        if is_image_id(name):
            candidates = [studies / PET_FOLDER / f"{name}{suffix}" for suffix in SUFFIXES]
            pet = next((file for file in candidates if file.is_file()), images.get(f"{name}{PET_ENDING}"))
            _enter(found, name, CaseFiles(path, pet, name, patient_told=False))
    for case, patient in _read_patients(studies / PATIENTS_NAME).items():
        if case in found:
            found[case] = replace(found[case], patient=patient, patient_told=True)
        else:
            logger.warning("%s names the case %.80r, which is not there", PATIENTS_NAME, case)
    return dict(sorted(found.items()))


def _read_patients(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(told, dict) or not all(isinstance(patient, str) and patient for patient in told.values()):
        raise ValueError(f'{path} must hold {{"case": "patient", ...}}, both as texts')
    return told


def _enter(found: dict[str, CaseFiles], image_id: str, files: CaseFiles) -> None:
    if image_id in found:
        raise ValueError(f"two cases are called {image_id}: {found[image_id].ct} and {files.ct}; rename one")
    found[image_id] = files


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), "")


def _without_folder(text: str, folder: Path) -> str:
    """Texts go to clients, which need not know where the studies lie."""
    return text.replace(f"{folder}/", "")
