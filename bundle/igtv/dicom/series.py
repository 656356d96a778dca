"""Files of a folder tree sorted into series, whatever the files are called and however patients are mixed."""

import logging
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from tqdm import tqdm

from .errors import DicomError, tag_name
from .headers import IMAGE_MODALITIES, read_header

logger = logging.getLogger(__name__)

# Reading headers waits for the disk or the network drive most of the time.
READERS = 8
# What tells the volumes apart that share a series, the first that does so wins: dynamic PET and 4D-CT in one series,
# a derived set beside the original one.
VOLUME_KEYWORDS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfRespiratoryPhase",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "ImageType",
    "ConvolutionKernel",
    "ReconstructionMethod",
    "AcquisitionNumber",
    "FrameReferenceTime",
    "ImageComments",
    "AcquisitionTime",
)
# Volumes of one series have about as many slices; a split that leaves scraps explains nothing.
LEAST_SHARE_OF_LARGEST = 0.5
# Slices closer than this are at the same place.
POSITION_DIGITS = 2
DIRECTION_DIGITS = 2


@dataclass(frozen=True)
class Problem:
    """A file that was left out, and why."""

    file: Path
    reason: str


@dataclass(frozen=True)
class Series:
    """One volume, or one or more objects of one series (RTSTRUCT, SEG, REG, RWV).

    Args:
        files: in no order that means anything; `geometry.stack` sorts slices.
        headers: aligned with `files`; only the attributes of `headers.KEYWORDS`.
        part: what tells this volume from others of the same series, e.g. "TemporalPositionIdentifier 3"; else "".
    """

    patient_id: str
    study_uid: str
    series_uid: str
    modality: str
    frame_of_reference_uid: str
    description: str
    files: tuple[Path, ...]
    headers: tuple[Dataset, ...]
    part: str = ""

    @property
    def label(self) -> str:
        """What a message calls the series: never a patient."""
        words = [self.modality, f'"{self.description}"' if self.description else "without description", self.part]
        return " ".join(word for word in words if word) + f" ({len(self.files)} files, series {self.series_uid})"


def find_series(folder: str | Path, progress: bool = False) -> tuple[list[Series], list[Problem]]:
    """All series below a folder, at any depth.

    File names and folders mean nothing; what is no DICOM and DICOMDIR files are passed over silently.

    Args:
        folder: the root of an export; also a single file.
        progress: show a progress bar over files.

    Returns:
        The series, sorted by patient, study, modality, description and UID, and the DICOM files that cannot be used.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"no such folder: {folder}")
    paths = [folder] if folder.is_file() else _files_below(folder)
    # around the threads: each that set the process's filters back would do so while others read
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")  # values that break a length rule are common and harmless here
        results = pool.map(read_header, paths)
        found = list(tqdm(results, total=len(paths), desc="reading headers", unit="file", disable=not progress))
    problems = [
        Problem(path, reason) for path, (header, reason) in zip(paths, found, strict=True) if header is None and reason
    ]
    members = [(path, header) for path, (header, _) in zip(paths, found, strict=True) if header is not None]
    series, more = group_into_series(members)
    return series, [*problems, *more]


def group_into_series(members: Iterable[tuple[Path, Dataset]]) -> tuple[list[Series], list[Problem]]:
    """Headers sorted into series, wherever they come from (files, or an archive that sends them without pixels).

    Args:
        members: path (for messages) and header of every object.

    Returns:
        As `find_series`.
    """
    problems, groups = [], defaultdict(list)
    for path, header in members:
        absent = [word for word in ("Modality", "SeriesInstanceUID", "SOPInstanceUID") if not header.get(word)]
        if absent:
            problems.append(Problem(path, f"{tag_name(absent[0])} is missing, so its series is unknown"))
            continue
        key = tuple(_text(header, word) for word in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"))
        groups[key].append((path, header))
    series = [volume for key, members in groups.items() for volume in _volumes(key, members)]
    series.sort(
        key=lambda one: (one.patient_id, one.study_uid, one.modality, one.description, one.series_uid, one.part)
    )
    return series, problems


def load_series(series_dir: str | Path) -> Series:
    """The one image series of a folder.

    Objects that are no images (RTSTRUCT, SEG, real-world value maps) may lie beside it.

    Raises:
        DicomError: there is none, there are several, or a file of it is damaged (half a volume is no volume).
    """
    found, problems = find_series(series_dir)
    name = Path(series_dir).name
    if problems:
        listing = "; ".join(f"{problem.file.name} {problem.reason}" for problem in problems[:3])
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise DicomError(f"{len(problems)} DICOM file(s) of {name} cannot be used: {listing}{more}")
    images = [series for series in found if series.modality in IMAGE_MODALITIES]
    if not images:
        kinds = ", ".join(sorted({series.modality for series in found})) or "no DICOM at all"
        raise DicomError(f"{name} holds no image series ({kinds}); give the folder of a CT or PET series")
    if len(images) > 1:
        listing = "; ".join(series.label for series in images)
        raise DicomError(f"{name} holds {len(images)} image series, give a folder with one: {listing}")
    return images[0]


def _files_below(folder: Path) -> list[Path]:
    paths, seen = [], set()
    for root, directories, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(root)
        if place in seen:  # a link that leads back
            directories.clear()
            continue
        seen.add(place)
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        paths.extend(Path(root) / name for name in sorted(names) if not name.startswith("."))
    return paths


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _volumes(key: tuple[str, str, str, str], members: Sequence[tuple[Path, Dataset]]) -> list[Series]:
    """One Series per volume: scouts and other orientations apart, then whatever repeats positions."""
    if key[3] not in IMAGE_MODALITIES:
        return [_series(key, members, "")]
    by_view = defaultdict(list)
    for member in members:
        by_view[_view(member[1])].append(member)
    if "" in by_view and len(by_view) > 1:
        # an image without orientation belongs to the others, where the geometry names what it lacks
        unknown = by_view.pop("")
        max(by_view.values(), key=len).extend(unknown)
    volumes = []
    for view, slices in sorted(by_view.items()):
        part = view if len(by_view) > 1 else ""
        for name, volume in _split_repeats(slices):
            volumes.append(_series(key, volume, " ".join(word for word in (part, name) if word)))
    return volumes


def _view(header: Dataset) -> str:
    kinds = [str(kind).upper() for kind in _values(header.get("ImageType"))]
    if "LOCALIZER" in kinds:
        return "localizer"
    try:
        cosines = [round(float(value), DIRECTION_DIGITS) + 0.0 for value in header.get("ImageOrientationPatient") or ()]
    except (TypeError, ValueError):
        cosines = []
    if len(cosines) != 6:
        return ""
    return "orientation " + "/".join(f"{value:g}" for value in cosines)


def _values(value) -> list:
    if value is None:
        return []
    return [value] if isinstance(value, str | int | float) else list(value)


def _position(header: Dataset) -> tuple[float, ...] | None:
    try:
        return tuple(round(float(value), POSITION_DIGITS) for value in header.get("ImagePositionPatient") or ()) or None
    except (TypeError, ValueError):
        return None


def _repeats(slices: Sequence[tuple[Path, Dataset]]) -> bool:
    """Whether two different images lie at one place; copies of one image are no repeat."""
    at = {}
    for _, header in slices:
        position, instance = _position(header), _text(header, "SOPInstanceUID")
        if position is not None and at.setdefault(position, instance) != instance:
            return True
    return False


def _split_repeats(slices: list[tuple[Path, Dataset]]) -> list[tuple[str, list[tuple[Path, Dataset]]]]:
    if not _repeats(slices):
        return [("", slices)]
    for keyword in VOLUME_KEYWORDS:
        groups = defaultdict(list)
        for member in slices:
            groups["\\".join(str(value) for value in _values(member[1].get(keyword)))].append(member)
        sizes = [len(group) for group in groups.values()]
        even = min(sizes) >= max(2, LEAST_SHARE_OF_LARGEST * max(sizes))
        if len(groups) > 1 and even and not any(_repeats(group) for group in groups.values()):
            return [(f"{keyword} {value}", group) for value, group in groups.items()]
    return [("", slices)]


def _series(key: tuple[str, str, str, str], members: Sequence[tuple[Path, Dataset]], part: str) -> Series:
    files, headers = zip(*members, strict=True)
    return Series(
        patient_id=key[0],
        study_uid=key[1],
        series_uid=key[2],
        modality=key[3],
        frame_of_reference_uid=_frame_of_reference(headers[0]),
        description=_text(headers[0], "SeriesDescription") or _text(headers[0], "StructureSetLabel"),
        files=tuple(files),
        headers=tuple(headers),
        part=part,
    )


def _frame_of_reference(header: Dataset) -> str:
    """Of images the attribute, of structure sets what their sequence refers to first."""
    if _text(header, "FrameOfReferenceUID"):
        return _text(header, "FrameOfReferenceUID")
    for sequence, keyword in (
        ("ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID"),
        ("StructureSetROISequence", "ReferencedFrameOfReferenceUID"),
    ):
        for item in header.get(sequence) or ():
            if _text(item, keyword):
                return _text(item, keyword)
    return ""
