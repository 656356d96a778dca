"""A mask in the forms that leave this package: RTSTRUCT for planning systems, SEG for archives, NIfTI for programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from ..files import replacing
from .contour_source import ContourSource
from .errors import DicomError
from .reference_series import ReferenceSeries, place_mask
from .rtstruct_writer import write_rtstruct
from .seg_writer import write_segmentation

FORMATS = ("nifti", "rtstruct", "dicomseg")
SEGMENTATION_TYPES = ("binary", "fractional")
RTSTRUCT_FILE, SEG_FILE, NIFTI_FILE = "rtstruct.dcm", "seg.dcm", "mask.nii.gz"
ROI_NAMES = {"igtv": "IGTV_AI", "gtv": "GTV_AI"}  # by the model's task


def check_formats(export: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for.

    Raises:
        ValueError: none, or one that is not known.
    """
    formats = (export,) if isinstance(export, str) else tuple(export)
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
        folder: where `rtstruct.dcm`, `seg.dcm` and `mask.nii.gz` go.
        masks: ROI name -> mask.
        reference: the series they were drawn on.
        formats: some of `FORMATS`; "nifti" holds the masks on the grid of the series, numbered in their order.
        source: what drew them.
        roi_type: RT ROI Interpreted Type.
        probability: for a fractional SEG instead of a binary one.

    Returns:
        The files.

    Raises:
        DicomError: a mask is empty or does not belong to the series.
    """
    folder = Path(folder)
    files = {"nifti": folder / NIFTI_FILE, "rtstruct": folder / RTSTRUCT_FILE, "dicomseg": folder / SEG_FILE}
    remove_dicom(folder)
    try:
        if "rtstruct" in formats:
            write_rtstruct(files["rtstruct"], masks, reference, source=source, roi_type=roi_type)
        if "dicomseg" in formats:
            write_segmentation(files["dicomseg"], masks, reference, probability=probability, source=source)
        if "nifti" in formats:
            _write_nifti(files["nifti"], masks, reference)
    except BaseException:
        remove_dicom(folder)  # all or nothing
        raise
    return [files[name] for name in FORMATS if name in formats]


def remove_dicom(folder: str | Path) -> None:
    """Take away what an earlier run wrote: no old contour may stay beside a refusal or a new mask."""
    for name in (RTSTRUCT_FILE, SEG_FILE):
        (Path(folder) / name).unlink(missing_ok=True)


def _write_nifti(path: Path, masks: Mapping[str, sitk.Image], reference: ReferenceSeries) -> None:
    numbered = sitk.Cast(reference.grid, sitk.sitkUInt8)
    if len(masks) > 255:
        raise DicomError(f"{len(masks)} masks do not fit in one NIfTI file of numbers up to 255")
    for number, mask in enumerate(masks.values(), start=1):
        placed = place_mask(mask, reference)
        numbered = sitk.Maximum(numbered, sitk.Cast(placed * number, sitk.sitkUInt8))
    with replacing(path) as temporary:
        sitk.WriteImage(numbered, str(temporary))
