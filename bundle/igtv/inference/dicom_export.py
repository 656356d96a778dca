"""A case's mask on its way back to DICOM: finds the CT's series, checks it, and writes RTSTRUCT and SEG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..dicom.contour_source import ContourSource
from ..dicom.errors import DicomError
from ..dicom.export import ROI_NAMES, check_formats, check_segmentation_type, export_masks, remove_earlier_export
from ..dicom.import_record import read_case
from ..dicom.reference_series import ReferenceSeries, find_reference, known_series
from ..dicom.rtstruct_writer import check_roi_name
from ..dicom.same_scan import check_same_scan
from ..dicom.series import Series
from .dicom_cases import DicomCases


class DicomExport:
    """Writes the DICOM forms of a mask; the NIfTI ones are `CaseWriter`'s own.

    Args:
        export: some of "nifti", "rtstruct", "dicomseg".
        reference_dicom: folder with the DICOM of the CTs that are segmented, one patient or more.
        ct_series: UID or a part of the description of the CT, where several could be meant.
        segmentation_type: of the SEG, "binary" or "fractional" (the network's probability map without lesions that
            were not chosen).
        roi_name: by default IGTV_AI or GTV_AI, after the model's task.
        imported: what `import_cases` made of a DICOM folder; its series serve where no `reference_dicom` is given.

    Raises:
        ValueError: an unknown format, or DICOM asked for without the DICOM of the CT.
        FileNotFoundError: `reference_dicom` is no folder.
    """

    def __init__(
        self,
        export: str | Sequence[str] = ("nifti",),
        reference_dicom: str | Path | None = None,
        ct_series: str | None = None,
        segmentation_type: str = "binary",
        roi_name: str | None = None,
        imported: DicomCases | None = None,
    ) -> None:
        self.formats = tuple(name for name in check_formats(export) if name != "nifti")
        self.fractional = check_segmentation_type(segmentation_type) == "fractional" and "dicomseg" in self.formats
        self.reference_dicom = reference_dicom
        self.ct_series = ct_series
        self.roi_name = check_roi_name(roi_name) if roi_name else None
        self.imported = imported or DicomCases()
        self._series: Sequence[Series] = () if reference_dicom else self.imported.series
        if self.formats and not reference_dicom and not self._series:
            raise ValueError(
                f"export names {', '.join(self.formats)}, which refer to the CT's DICOM files: give their folder as "
                "reference_dicom, or segment a DICOM folder with dicom_dir."
            )
        if self.formats and reference_dicom and not Path(reference_dicom).exists():
            raise FileNotFoundError(f"reference_dicom {reference_dicom} does not exist.")

    def write(
        self,
        folder: Path,
        source: Mapping[str, Any],
        model: Mapping[str, Any] | None,
        version: str,
        mask_file: Path,
        probability_file: Path,
    ) -> list[str]:
        """Write a case's DICOM objects into its folder; the mask lies there already.

        Args:
            folder: results of the case.
            source: the case: `ct`, and `ct_series_uid` and `ct_series_part` where they are known from the import.
            model: its entry in the manifest.
            version: of the bundle.
            mask_file: the chosen lesions, 1 inside.
            probability_file: the probability map; needed for a fractional SEG only.

        Returns:
            Names of the files written.

        Raises:
            DicomError: see `find_reference`, `check_same_scan` and `export_masks`.
            FileExistsError: see `export_masks`.
        """
        remove_earlier_export(folder)  # the mask is a new one already
        if not self.formats:
            return []
        mask, ct = sitk.ReadImage(str(mask_file)), sitk.ReadImage(str(source["ct"]))
        reference = self._reference(source, mask)
        facts = read_case(Path(source["ct"]).parent) or {}
        check_same_scan(ct, reference, facts.get("source", {}))
        name = self.roi_name or ROI_NAMES.get((model or {}).get("task"), "IGTV_AI")
        files = export_masks(
            folder,
            {name: mask},
            reference,
            self.formats,
            source=ContourSource.of_model(model, version),
            probability=sitk.ReadImage(str(probability_file)) if self.fractional else None,
        )
        return [file.name for file in files]

    def _reference(self, source: Mapping[str, Any], mask: sitk.Image) -> ReferenceSeries:
        """The CT's series: the one that the import noted, else what fits."""
        uid = source.get("ct_series_uid")
        if not uid and not self.reference_dicom:
            raise DicomError(
                "the CT was made of several series (a 4D-CT), so no DICOM image shows it: choose one to segment on "
                "with target_ct, or write the mask for a phase with the verb exporting"
            )
        if not self._series:
            self._series = known_series(self.reference_dicom)
        return find_reference(self._series, mask, uid or self.ct_series, source.get("ct_series_part", ""))
