"""Verb `importing`: a folder tree of DICOM becomes a data set that the other verbs take."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path

import SimpleITK as sitk
from pydicom.filereader import read_partial
from tqdm import tqdm

from ..files import UMASK, write_json
from ..locks import locked
from ..processes import process_pool, worker_count
from .case_folder import UNFINISHED, clear_leftovers, replace_folder
from .errors import DicomError
from .import_case import CaseWork, DamagedFile, import_case
from .import_datalist import listed_cases, read_earlier, write_datalist
from .import_names import CASE_NAMES, plan_cases
from .import_options import ImportOptions
from .import_record import (
    CASE_FILE,
    IMPORTER,
    fingerprint,
    read_all_facts,
    read_case,
    read_cases,
    scan_of,
    study_of,
    write_log,
    write_tables,
)
from .series import Problem, find_series

logger = logging.getLogger(__name__)

LOCK_FILE = ".import.lock"
_SERIES_UID = 0x0020000E


def import_dataset(
    dicom_dir: str | Path,
    dataset_dir: str | Path,
    case_names: str = "patient_id",
    num_workers: int | None = None,
    progress: bool = True,
    name: str = "Imported from DICOM",
    **choices,
) -> Path:
    """Import all patients below a folder; what is already there is not made again.

    Args:
        dicom_dir: any depth, any file names, any number of patients.
        dataset_dir: folder to fill: `<case>/{ct,pet,label}.nii.gz`, `<case>/overlay.png`, `dataset.json`,
            `import_log.json`, `cases.csv`, `cases.html`.
        case_names: "patient_id": PatientID, changed only where it cannot name a folder; "hash": 12 digits made of it,
            a pseudonym.
        num_workers: processes; None: one per usable processor; 0: this process.
        progress: show progress bars.
        name: name of the data set in the datalist.
        **choices: fields of `ImportOptions`.

    Returns:
        Path of the datalist.

    Raises:
        FileNotFoundError: there is no `dicom_dir`.
        FileExistsError: `dataset_dir` holds something else, or another import is running there.
        DicomError: there is no DICOM, or no case at all could be imported; some bad cases are only reported.
        ValueError, TypeError: a wrong option, or the datalist there was edited and cannot be read; the text says where.
    """
    if dicom_dir in (None, ""):
        raise ValueError("dicom_dir is not given: name the folder of the DICOM export with --dicom_dir")
    if case_names not in CASE_NAMES:
        raise ValueError(f"case_names is {case_names!r}; it must be one of {', '.join(CASE_NAMES)}")
    workers = worker_count(num_workers)
    options = ImportOptions(**choices)
    folder = Path(dataset_dir)
    with _claimed(folder):
        series, problems = find_series(dicom_dir, progress)
        if not series:
            raise DicomError(f"no usable DICOM file below {dicom_dir}; " + _listing(problems))
        damaged = _damaged(problems)
        made = read_all_facts(folder)
        held = {case: facts["patient_id"] for case, facts in made.items()}
        studies = {case: study_of(facts) for case, facts in made.items()}
        works = plan_cases(series, damaged, case_names, held, studies)
        options.check_patients({work.patient_id for work in works} | {file.patient_id for file in damaged})
        prints = {work.case: fingerprint(work, options) for work in works}
        assert len(prints) == len(works), "two cases have one name: one patient would replace another"
        there = {work.case: read_case(folder / work.case) for work in works}
        new = [work for work in works if (there[work.case] or {}).get("fingerprint") != prints[work.case]]
        errors = _import_all(folder, new, prints, options, workers, progress)
        return _finish(folder, works, new, errors, problems, options, name)


def _finish(
    folder: Path,
    works: Sequence[CaseWork],
    new: Sequence[CaseWork],
    errors: dict[str, str],
    problems: Sequence[Problem],
    options: ImportOptions,
    name: str,
) -> Path:
    """Datalist, log, tables, and the sentence at the end."""
    cases = read_cases(folder)
    fresh = {work.case for work in new}
    rows = []
    for case in sorted({*cases, *errors}):
        if case in errors:
            rows.append({"case": case, "status": "failed", "error": errors[case]})
        else:
            rows.append({**cases[case], "status": "imported" if case in fresh else "already there"})
    # an older import of a case whose new images are refused is no longer what the archive says
    left_out = {*errors, *_renamed(cases, works)}
    listed = {case: facts for case, facts in cases.items() if case not in left_out}
    datalist = write_datalist(folder, listed, name)
    parts = listed_cases(folder, listed)
    rows = [row | ({"listed": parts[row["case"]]} if row["case"] in parts else {}) for row in rows]
    unusable = [{"file": problem.file.name, "reason": problem.reason} for problem in problems]
    write_log(folder, rows, unusable, options)
    write_tables(folder, rows)
    for case, error in errors.items():
        logger.warning("case left out: %s: %s", case, error)
    done = len(new) - len(errors)
    logger.info(
        "%d cases imported into %s, %d were there, %d left out, %d unusable files; look at cases.html.",
        done, folder, len(works) - len(new), len(errors), len(problems),
    )  # fmt: skip
    if errors and len(errors) == len(works):
        listing = "\n".join(f"  {case}: {error}" for case, error in errors.items())
        raise DicomError(f"none of {len(works)} cases could be imported:\n{listing}")
    return datalist


def _renamed(cases: Mapping[str, dict], works: Sequence[CaseWork]) -> set[str]:
    """Cases of earlier imports whose scan has another name now: P1 becomes P1_1 when a second PET study arrives."""
    # of scans that are not in this export too: the longer name is the newer
    names = {scan_of(cases[case]): case for case in sorted(cases, key=lambda case: (len(case), case))}
    names |= {
        (work.patient, work.study_uid or one.series_uid): work.case
        for work in works
        for one in work.series
        if one.modality == "PT" and one.study_uid == work.study_uid
    }
    names.pop(None, None)
    current = {work.case for work in works}
    renamed = {case: names.get(scan_of(facts), case) for case, facts in cases.items() if case not in current}
    renamed = {case: new for case, new in renamed.items() if case != new}
    for case, new in renamed.items():
        logger.warning(
            "case %s is now called %s: its old folder is not listed any more and may be removed, unless files of your "
            "own are in it", case, new,
        )  # fmt: skip
    return set(renamed)


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Make the folder ours for the time of the import, and clear away what a killed one left."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"dataset_dir {folder} is a file: give a folder")
    read_earlier(folder)  # before hours of work: people may have edited it
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK_FILE, wait_s=0))
        except BlockingIOError as error:
            raise FileExistsError(f"another import into {folder} is running: wait for its end") from error
        clear_leftovers(folder)
        yield


def _damaged(problems: Sequence[Problem]) -> list[DamagedFile]:
    """Unusable files, as far as their first attributes still say whose they are."""
    found = []
    for problem in problems:
        try:
            with problem.file.open("rb") as file:
                header = read_partial(file, stop_when=lambda tag, *_: tag > _SERIES_UID, force=True)
            words = [str(header.get(key) or "").strip() for key in ("PatientID", "Modality", "SeriesInstanceUID")]
        except Exception:  # it is damaged; any error means that it does not say
            continue
        found.append(DamagedFile(*words, f"{problem.file.name} {problem.reason}"))
    return found


def _listing(problems: Sequence[Problem]) -> str:
    if not problems:
        return "no file is DICOM"
    shown = "; ".join(f"{problem.file.name} {problem.reason}" for problem in problems[:3])
    return f"{len(problems)} cannot be used: {shown}"


def _import_all(
    folder: Path,
    works: Sequence[CaseWork],
    prints: dict[str, str],
    options: ImportOptions,
    workers: int,
    progress: bool,
) -> dict[str, str]:
    """Import cases in parallel; case -> error of those that failed."""
    workers = min(workers, len(works))
    errors: dict[str, str] = {}
    with tqdm(total=len(works), desc="importing", unit="case", disable=not progress or not works) as bar:
        if workers < 2:
            for work in works:
                _note(errors, work, _import_one(folder, work, prints[work.case], options))
                bar.update()
            return errors
        left = list(works)
        with process_pool(workers, _one_thread) as pool:
            jobs = {pool.submit(_import_one, folder, work, prints[work.case], options): work for work in left}
            try:
                for job in as_completed(jobs):
                    error = job.result()
                    _note(errors, jobs[job], error)
                    left.remove(jobs[job])
                    bar.update()
            except BrokenProcessPool:
                logger.warning("a process ended without a word (memory?): the remaining cases go one by one")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for work in left:
            _note(errors, work, _import_alone(folder, work, prints[work.case], options))
            bar.update()
        if left:
            clear_leftovers(folder)
    return errors


def _import_alone(folder: Path, work: CaseWork, print_: str, options: ImportOptions) -> str | None:
    """One case in a process of its own, so that the one that kills its process is known by name."""
    with process_pool(1, _one_thread) as pool:
        try:
            return pool.submit(_import_one, folder, work, print_, options).result()
        except BrokenProcessPool:
            return "its process ended without a word; is there enough memory?"


def _one_thread() -> None:
    """Cases run beside each other, so none needs threads of its own."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _note(errors: dict[str, str], work: CaseWork, error: str | None) -> None:
    if error is not None:
        errors[work.case] = error


def _import_one(folder: Path, work: CaseWork, print_: str, options: ImportOptions) -> str | None:
    """Import a case into a folder of its own and move it into place; the error text where it fails."""
    final = folder / work.case
    if final.exists() and not (final / CASE_FILE).is_file():
        return f"{final.name} in the data set's folder holds something else: move it away"
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    try:
        facts = import_case(work, options, temporary)
        write_json(temporary / CASE_FILE, {"importer": IMPORTER, "fingerprint": print_, **facts})
        temporary.chmod(0o777 & ~UMASK)
        replace_folder(temporary, final)
    except (DicomError, ValueError, OSError) as error:
        return str(error).replace(f"{temporary}/", "")
    except Exception as error:  # one strange patient must not stop the others
        logger.exception("case %s", work.case)
        return f"unexpected {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return None
