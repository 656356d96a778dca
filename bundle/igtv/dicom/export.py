"""A mask in the forms that leave this package: RTSTRUCT for planning systems, SEG for archives, NIfTI for programs."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from ..configuration.words import words
from ..files import TEMPORARY_PREFIX, file_sha256, replacing
from .contour_source import MANUFACTURER, ContourSource
from .errors import DicomError
from .reference_series import ReferenceSeries, place_mask
from .rtstruct_writer import write_rtstruct
from .seg_writer import write_segmentation

FORMATS = ("nifti", "rtstruct", "dicomseg")
SEGMENTATION_TYPES = ("binary", "fractional")
RTSTRUCT_FILE, SEG_FILE, NIFTI_FILE = "rtstruct.dcm", "seg.dcm", "mask.nii.gz"
RECORD_FILE = "export.json"  # that `exporting` writes beside them: the files with their SHA-256
ROI_NAMES = {"igtv": "IGTV_AI", "gtv": "GTV_AI"}  # by the model's task


def check_formats(export: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for.

    Raises:
        ValueError: none, or one that is not known.
    """
    formats = words(export)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(
            f"export names {', '.join(map(str, unknown)) or 'nothing'}; possible are {', '.join(FORMATS)}."
        )
    return formats


def check_segmentation_type(kind: str) -> str:
    """`kind`, if it is one of `SEGMENTATION_TYPES`.

    Raises:
        ValueError: when it is not.
    """
    if kind not in SEGMENTATION_TYPES:
        raise ValueError(f"segmentation_type is '{kind}'; it must be one of {', '.join(SEGMENTATION_TYPES)}.")
    return kind


def export_masks(
    folder: str | Path,
    masks: Mapping[str, sitk.Image],
    reference: ReferenceSeries,
    formats: Sequence[str],
    *,
    source: ContourSource,
    roi_type: str = "GTV",
    probability: sitk.Image | None = None,
) -> list[Path]:
    """Write masks of one patient.

    Args:
        folder: where `rtstruct.dcm`, `seg.dcm` and `mask.nii.gz` go; what an earlier export left there goes once the
            new files are complete.
        masks: ROI name -> mask.
        reference: the series they were drawn on.
        formats: some of `FORMATS`; "nifti" holds the masks on the grid of the series, numbered in their order.
        source: what drew them.
        roi_type: RT ROI Interpreted Type.
        probability: for a fractional SEG instead of a binary one; see `without_other_lesions`.

    Returns:
        The files.

    Raises:
        DicomError: a mask is empty or does not belong to the series.
        FileExistsError: see `check_replaceable`.
    """
    folder = Path(folder)
    names = {"nifti": NIFTI_FILE, "rtstruct": RTSTRUCT_FILE, "dicomseg": SEG_FILE}
    written = [names[name] for name in FORMATS if name in formats]
    check_replaceable(folder, {RTSTRUCT_FILE, SEG_FILE, *written})
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=TEMPORARY_PREFIX) as temporary:  # all or nothing
        new = Path(temporary)
        if "rtstruct" in formats:
            write_rtstruct(new / RTSTRUCT_FILE, masks, reference, source=source, roi_type=roi_type)
        if "dicomseg" in formats:
            if probability is not None and len(masks) == 1:
                probability = without_other_lesions(probability, next(iter(masks.values())))
            write_segmentation(new / SEG_FILE, masks, reference, probability=probability, source=source)
        if "nifti" in formats:
            _write_nifti(new / NIFTI_FILE, masks, reference)
        remove_earlier_export(folder)
        for name in written:
            os.replace(new / name, folder / name)
    return [folder / name for name in written]


def check_replaceable(folder: str | Path, names: Iterable[str]) -> None:
    """Make sure that a folder holds none of these files but our own.

    Raises:
        FileExistsError: one of another program, such as the clinic's contours, or a mask that was edited since.
    """
    for name in sorted(names):
        path = Path(folder) / name
        if path.exists() and not _is_ours(path):
            raise FileExistsError(
                f"{name} in the output folder was not written by this program, or was changed since, and is not "
                "replaced: give another output_dir"
            )


def remove_earlier_export(folder: str | Path) -> None:
    """Take away what an earlier run wrote: no old contour may stay beside a refusal or a new mask.

    Files of other programs stay.
    """
    for name in (RTSTRUCT_FILE, SEG_FILE, NIFTI_FILE):
        path = Path(folder) / name
        if path.exists() and _is_ours(path):
            path.unlink()


def without_other_lesions(probability: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The map without what the mask leaves out: 0 where it reaches 0.5 outside of the mask.

    The network's map holds all lesions, the mask those that were chosen. Lower values around them stay.
    """
    inside = sitk.Resample(
        sitk.Cast(mask != 0, sitk.sitkUInt8), probability, sitk.Transform(), sitk.sitkNearestNeighbor, 0
    )
    values = sitk.GetArrayFromImage(probability)
    values[(values >= 0.5) & (sitk.GetArrayViewFromImage(inside) == 0)] = 0
    cleared = sitk.GetImageFromArray(values)
    cleared.CopyInformation(probability)
    return cleared


def _is_ours(path: Path) -> bool:
    return _is_recorded(path) if path.name == NIFTI_FILE else _names_us(path)


def _names_us(path: Path) -> bool:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"])
    except (InvalidDicomError, OSError):
        return False
    return header.get("Manufacturer") == MANUFACTURER


def _is_recorded(path: Path) -> bool:
    """NIfTI has no place for an origin: the record beside it knows what this program wrote."""
    try:
        record = json.loads(path.with_name(RECORD_FILE).read_text(encoding="utf-8"))
        return record["files"][path.name] == file_sha256(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_nifti(path: Path, masks: Mapping[str, sitk.Image], reference: ReferenceSeries) -> None:
    numbered = sitk.Cast(reference.grid, sitk.sitkUInt8)
    if len(masks) > 255:
        raise DicomError(f"{len(masks)} masks do not fit in one NIfTI file of numbers up to 255")
    for number, mask in enumerate(masks.values(), start=1):
        placed = place_mask(mask, reference)
        numbered = sitk.Maximum(numbered, sitk.Cast(placed * number, sitk.sitkUInt8))
    with replacing(path) as temporary:
        sitk.WriteImage(numbered, str(temporary))
