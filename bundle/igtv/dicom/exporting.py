"""The verb `exporting`: a mask file, such as `inferring` writes or a user corrected, as RTSTRUCT and DICOM SEG."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..files import file_sha256
from ..inference.lesions import chosen_lesions, number_lesions
from ..inference.manifest import (
    MODEL_MASKS,
    bundle_version,
    read_case_manifest,
    run_manifest,
    was_changed,
    write_manifest,
)
from .contour_source import ContourSource
from .errors import DicomError
from .export import (
    NIFTI_FILE,
    RECORD_FILE,
    ROI_NAMES,
    RTSTRUCT_FILE,
    SEG_FILE,
    check_formats,
    check_segmentation_type,
    export_masks,
)
from .import_case import LABEL_FILE
from .import_record import read_case
from .reference_series import ReferenceSeries, find_reference
from .rtstruct_writer import check_roi_name
from .same_scan import check_same_scan

CT_FILES = ("ct.nii.gz", "ct.nii")
UNKNOWN_ROI_NAME = "TARGET"  # of a mask of which nothing says whether it is a GTV or an IGTV
MOST_VALUES = 64  # different numbers in a map of lesions; more is an image, not a mask

logger = logging.getLogger(__name__)


def export_mask(
    mask: str | Path,
    reference_dicom: str | Path,
    output_dir: str | Path,
    export: str | Sequence[str] = ("rtstruct", "dicomseg"),
    roi_name: str | None = None,
    roi_type: str = "GTV",
    lesions: str | int | Iterable[int] = "all",
    segmentation_type: str = "binary",
    probability: str | Path | None = None,
    algorithm: str | None = None,
    ct_series: str | None = None,
) -> list[Path]:
    """Write a mask file as DICOM objects that refer to the CT it was drawn on.

    Args:
        mask: NIfTI or another format of SimpleITK; one ROI per number in it: `pred.nii.gz` gives one, `lesions.nii.gz`
            one per lesion.
        reference_dicom: folder with the DICOM of that CT; other series may lie there too. Where `ct.nii.gz` lies
            beside the mask, its voxels are compared, and its frame of reference where an import noted it.
        output_dir: folder of `rtstruct.dcm`, `seg.dcm`, `mask.nii.gz` and `export.json`, outside of `reference_dicom`.
        export: some of "nifti", "rtstruct", "dicomseg".
        roi_name: by default IGTV_AI or GTV_AI, after the model's task; of an imported label IGTV or GTV, as its
            `case.json` says; TARGET where nothing says which it is.
        roi_type: RT ROI Interpreted Type.
        lesions: "all", "largest" (by its voxels), or numbers: those in the mask, or where it holds but one, of its
            separate parts by size.
        segmentation_type: "binary", or "fractional", which needs `probability`.
        probability: map in [0, 1] on the mask's grid.
        algorithm: "AUTOMATIC", the default for `pred.nii.gz` and `lesions.nii.gz` with their manifest;
            "SEMIAUTOMATIC", where these files are no longer as the manifest says; "MANUAL", the default for others.
        ct_series: UID or a part of the description, where the folder holds several CTs, or one on another grid.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: no such file or folder.
        FileExistsError: the output would replace what another program wrote, or the mask itself.
        DicomError: the mask is empty, belongs to none or several of the series, or a series cannot be used.
        ValueError: an option has a value it cannot have.
    """
    formats = check_formats(export)
    fractional = check_segmentation_type(segmentation_type) == "fractional" and "dicomseg" in formats
    if fractional and not probability:
        raise ValueError(
            "segmentation_type is 'fractional', which needs probability, a map such as probability.nii.gz."
        )
    if not mask or not reference_dicom:
        raise ValueError(f"{'reference_dicom' if mask else 'mask'} is missing: give the mask and the folder of its CT.")
    _check_output_apart(Path(output_dir), Path(reference_dicom), [mask, probability])
    image = _read_image(mask, "mask")
    manifest = _manifest_beside(Path(mask))
    model = manifest.get("model") or {}
    version = (manifest.get("versions") or {}).get("bundle") or bundle_version()
    source = ContourSource.of_model(model, version, algorithm or _algorithm(Path(mask), manifest))
    masks = _rois(image, check_roi_name(roi_name or _default_name(Path(mask), manifest)), lesions)
    reference = find_reference(reference_dicom, image, ct_series)
    _check_ct_beside(Path(mask).parent, reference)
    files = export_masks(
        output_dir,
        masks,
        reference,
        formats,
        source=source,
        roi_type=roi_type,
        probability=_read_image(probability, "probability") if fractional else None,
    )
    _write_manifest(Path(output_dir), Path(mask), model, masks, files)
    logger.info("%s written to %s, for %s", ", ".join(file.name for file in files), output_dir, reference.series.label)
    return files


def _check_output_apart(output_dir: Path, reference_dicom: Path, inputs: Iterable[str | Path | None]) -> None:
    """No input may be written over, and the CT's folder stays as it is."""
    if output_dir.resolve().is_relative_to(reference_dicom.resolve()):
        raise ValueError(
            f"output_dir {output_dir} lies in reference_dicom: nothing is written among the files of the CT; give a "
            "folder outside of it."
        )
    targets = {(output_dir / name).resolve() for name in (NIFTI_FILE, RTSTRUCT_FILE, SEG_FILE, RECORD_FILE)}
    for path in inputs:
        if path and Path(path).resolve() in targets:
            raise FileExistsError(f"{Path(path).name} would be written over by its own export: give another output_dir")


def _check_ct_beside(folder: Path, reference: ReferenceSeries) -> None:
    """Compare the CT that lies beside the mask, and what the importer noted of it, with the series."""
    found = [folder / name for name in CT_FILES if (folder / name).is_file()]
    if not found:
        return
    source = (read_case(folder) or {}).get("source", {})
    check_same_scan(_read_image(found[0], "the CT beside the mask,"), reference, source)


def _read_image(path: str | Path, option: str) -> sitk.Image:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{option} {path} does not exist.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise DicomError(f"{option} {Path(path).name} cannot be read as an image; give NIfTI (.nii.gz)") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise DicomError(f"{option} {Path(path).name} must be one 3-D volume, not {image.GetSize()}")
    return image


def _manifest_beside(mask: Path) -> Mapping[str, Any]:
    """What made the mask, where `inferring` left word of it."""
    manifest = read_case_manifest(mask.parent) if mask.name in MODEL_MASKS else {}
    if not manifest:
        logger.warning(
            "no manifest of a model says where %s comes from: it counts as drawn by hand unless --algorithm says "
            "otherwise", mask.name,
        )  # fmt: skip
    return manifest


def _default_name(mask: Path, manifest: Mapping[str, Any]) -> str:
    """Name of the ROI by what is known of the mask; a planning system must not read IGTV where nobody said so."""
    task = (manifest.get("model") or {}).get("task")
    if task in ROI_NAMES:
        return ROI_NAMES[task]
    kind = (read_case(mask.parent) or {}).get("label_kind") if mask.name == LABEL_FILE else None
    if kind in ROI_NAMES:
        return kind.upper()
    logger.warning(
        "nothing says whether %s is a GTV or an IGTV: the ROI is called %s; give its name with --roi_name",
        mask.name, UNKNOWN_ROI_NAME,
    )  # fmt: skip
    return UNKNOWN_ROI_NAME


def _algorithm(mask: Path, manifest: Mapping[str, Any]) -> str:
    """The network's own mask only where no byte of it has changed since."""
    if not manifest:
        return "MANUAL"
    if not was_changed(manifest, mask):
        return "AUTOMATIC"
    logger.warning(
        "%s is not the file that the manifest beside it speaks of (SHA-256): it counts as corrected, SEMIAUTOMATIC, "
        "unless --algorithm says otherwise", mask.name,
    )  # fmt: skip
    return "SEMIAUTOMATIC"


def _rois(image: sitk.Image, name: str, lesions: str | int | Iterable[int]) -> dict[str, sitk.Image]:
    """ROI name -> mask; several get numbers."""
    values = sitk.GetArrayFromImage(image)
    found = np.unique(values[values != 0])
    if len(found) == 0:
        raise DicomError("the mask is empty: there is nothing to draw, so no DICOM object is written")
    if len(found) > MOST_VALUES or not np.array_equal(found, found.astype(np.int64)) or found.min() < 0:
        raise DicomError(
            f"the mask holds values such as {found[0]:g}; it must hold whole numbers, 1 inside: cut a probability first"
        )
    if len(found) == 1:
        if isinstance(lesions, str) and lesions == "all":
            return {name: image}
        values = number_lesions(values)
    found, voxels = np.unique(values[values != 0], return_counts=True)
    if isinstance(lesions, str) and lesions == "largest":
        lesions = int(found[voxels.argmax()])  # a mask from elsewhere numbers its parts as it likes
    chosen = chosen_lesions(lesions, found.astype(int).tolist())
    masks = {}
    for number in chosen:
        mask = sitk.GetImageFromArray((values == number).astype(np.uint8))
        mask.CopyInformation(image)
        masks[f"{name}_{number}" if len(chosen) > 1 else name] = mask
    return masks


def _write_manifest(
    folder: Path, mask: Path, model: Mapping[str, Any], masks: Mapping[str, sitk.Image], files: Sequence[Path]
) -> None:
    manifest = run_manifest(
        "exporting",
        mask={"file": mask.name, "sha256": file_sha256(mask)},
        rois=list(masks),
        files={file.name: file_sha256(file) for file in files},
    )
    write_manifest(folder / RECORD_FILE, {**manifest, "model": dict(model) or None})
