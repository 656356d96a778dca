"""The verb `deidentifying`: a folder tree with patients in, the same series without them out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import FileMetaDataset
from tqdm import tqdm

from ...files import replacing, write_json
from ...processes import process_pool, worker_count
from ..errors import DicomError
from ..series import Series, find_series
from ..whole_file import reading
from .identities import Identity, identities
from .rules import deidentify_dataset

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """The files of one series, and whose they are."""

    files: tuple[Path, ...]
    identity: Identity
    modality: str


def deidentify(
    dicom_dir: str | Path,
    output_dir: str | Path,
    key_file: str | Path | None = None,
    pseudonym_prefix: str = "P",
    num_workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """De-identify all patients below a folder.

    Writes `<output_dir>/<pseudonym>/<modality>_<series>/<instance>.dcm`, and apart from it the key (pseudonyms and the
    secret that UIDs and dates follow from) with a report beside it. The same key gives the same result again, so that
    files that come later fit to those that were made before.

    Args:
        dicom_dir: any tree of DICOM files; left as it is.
        output_dir: not within `dicom_dir`.
        key_file: not within `output_dir`; by default `<output_dir>_key.json`.
        pseudonym_prefix: of the patients' new names; a number follows.
        num_workers: processes; by default one per usable processor; 0 or 1: this process.
        progress: show progress bars.

    Returns:
        The report: `series` (what was written, by pseudonym) and `left_out` (file and reason).

    Raises:
        ValueError: when folders lie in each other, the key file is none, or `num_workers` no number.
        FileNotFoundError: when `dicom_dir` is missing.
        DicomError: when nothing could be de-identified.
    """
    if not dicom_dir:
        raise ValueError("dicom_dir is not set; give the folder of the DICOM files with --dicom_dir")
    source, target = Path(dicom_dir).resolve(), Path(output_dir).resolve()
    key = Path(key_file).resolve() if key_file else target.with_name(f"{target.name}_key.json")
    _check_folders(source, target, key)
    series, problems = find_series(source, progress)
    left_out = [{"file": str(problem.file), "reason": problem.reason} for problem in problems]
    known = identities([_patient(one) for one in series], key, pseudonym_prefix)
    work = [_Work(one.files, known[_patient(one)], one.modality) for one in series]
    workers = min(worker_count(num_workers), len(work))
    written = []
    for one, (count, refused) in _all(work, target, workers, progress):
        left_out += refused
        if count:
            written.append({"patient": one.identity.pseudonym, "modality": one.modality, "files": count})
    report = {"output_dir": str(target), "series": written, "left_out": left_out}
    write_json(key.with_name(f"{key.stem}_report.json"), report)
    _tell(report, key)
    if not written:
        reasons = sorted({entry["reason"] for entry in left_out}) or ["there is no DICOM file"]
        raise DicomError(f"nothing was de-identified: {'; '.join(reasons[:3])}")
    return report


def _check_folders(source: Path, target: Path, key: Path) -> None:
    if target == source or source in target.parents:
        raise ValueError(f"output_dir {target} lies within dicom_dir: the next run would take it for patients' data")
    if target in source.parents:
        raise ValueError(
            f"dicom_dir lies within output_dir {target}: patients' data would lie among what is given away"
        )
    if target in key.parents:
        raise ValueError(f"key_file {key} lies within output_dir: it leads back to the patients and must be kept apart")


def _patient(series: Series) -> str:
    """Who the series belongs to; without an identifier each study is a patient of its own."""
    return series.patient_id or f"study {series.study_uid}"


def _all(work: Sequence[_Work], target: Path, workers: int, progress: bool):
    """Each piece of work with its result, in parallel."""
    bar = partial(tqdm, total=len(work), desc="de-identifying", unit="series", disable=not progress)
    change = partial(_series, target=target)
    if workers > 1:
        with process_pool(workers) as pool:
            yield from bar(zip(work, pool.map(change, work), strict=True))
    else:
        yield from bar(zip(work, map(change, work), strict=True))


def _series(work: _Work, target: Path) -> tuple[int, list[dict[str, str]]]:
    """How many files of one series were written, and which were not, with the reason."""
    count, refused = 0, []
    for file in work.files:
        try:
            _file(file, work.identity, target)
            count += 1
        except DicomError as error:
            reason = str(error).removeprefix(f"{file.name}: ")
            refused.append({"file": str(file), "reason": reason})
    return count, refused


def _file(file: Path, identity: Identity, target: Path) -> None:
    with reading(file) as dataset:
        result = deidentify_dataset(dataset, identity)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = result.SOPClassUID, result.SOPInstanceUID
        meta.TransferSyntaxUID = dataset.file_meta.get("TransferSyntaxUID") or _syntax(dataset)
        result.file_meta = meta
        folder = f"{result.get('Modality', 'OT')}_{_tail(result.SeriesInstanceUID)}"
        with replacing(target / identity.pseudonym / folder / f"{_tail(result.SOPInstanceUID)}.dcm") as temporary:
            # the preamble of the original may hold anything: an empty one takes its place
            pydicom.dcmwrite(temporary, result, write_like_original=False)


def _tail(uid: str) -> str:
    """Enough of a UID to tell files apart: 64 bits of a hash."""
    return f"{int(uid.rsplit('.', 1)[1]) & 0xFFFFFFFFFFFFFFFF:016x}"


def _syntax(dataset: pydicom.Dataset) -> str:
    """Transfer syntax of a file without meta header."""
    if dataset.is_implicit_VR:
        return pydicom.uid.ImplicitVRLittleEndian
    return pydicom.uid.ExplicitVRLittleEndian if dataset.is_little_endian else pydicom.uid.ExplicitVRBigEndian


def _tell(report: dict[str, Any], key: Path) -> None:
    files = sum(entry["files"] for entry in report["series"])
    patients = len({entry["patient"] for entry in report["series"]})
    LOGGER.info("%d files of %d patients de-identified; key: %s, keep it apart", files, patients, key)
    reasons: dict[str, int] = {}
    for entry in report["left_out"]:
        reasons[entry["reason"]] = reasons.get(entry["reason"], 0) + 1
    for reason, number in reasons.items():
        LOGGER.warning("%d files left out: %s", number, reason)
