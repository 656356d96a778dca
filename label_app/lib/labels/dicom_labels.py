"""DICOM SEG and RTSTRUCT as labels: whether one counts, and its mask on the CT's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from igtv.dicom.contour_parts import AUTOMATIC, contour_parts
from igtv.dicom.errors import DicomError
from igtv.dicom.ohif_export import exported_by_ohif
from igtv.dicom.references import referenced_series
from igtv.dicom.rtstruct_reader import read_structure_set, structure_masks
from igtv.dicom.seg_reader import read_segmentation
from pydicom.dataset import Dataset

from .errors import LabelRefused
from .intake import CheckedLabel, check_mask

SLICES_REVERSED = (
    "it was exported by OHIF, which can write its slices in reverse order (OHIF/Viewers issue 5183); submit it in the "
    "OHIF that this server shows, where Export DICOM SEG does not go that way"
)


@dataclass(frozen=True)
class ForeignLabel:
    """What a header says.

    Attributes:
        modality: "SEG" or "RTSTRUCT".
        name: of the segment or ROI that counts; "" where none does.
        series_uids: image series it was drawn on.
        manufacturer: of the program that wrote it.
        reason: why it is no label, "" where it is one.
    """

    modality: str
    name: str
    series_uids: tuple[str, ...]
    manufacturer: str
    reason: str


def look_at(header: Dataset, names: Sequence[str], automatic_counts: bool = False) -> ForeignLabel:
    """Whether an object is a label, by its header alone.

    Args:
        header: of a SEG or RTSTRUCT.
        names: names under which a label counts.
        automatic_counts: also take what is marked as drawn by a network: a person has just submitted it.
    """
    modality = str(header.get("Modality", ""))
    parts = contour_parts(header)
    wanted = {name.lower() for name in names}
    named = [part for part in parts if part.name.strip().lower() in wanted]
    drawn = [part.name for part in named if automatic_counts or part.algorithm != AUTOMATIC]
    if not parts:
        reason = f"it is no SEG and no RTSTRUCT, but {modality or 'without modality'}"
    elif not named:
        reason = (
            f"nothing in it is called {' or '.join(names)} (there are: {', '.join(part.name for part in parts)[:200]})"
        )
    elif not drawn:
        reason = "it was drawn by a network (AUTOMATIC) and corrected by nobody"
    elif modality == "SEG" and exported_by_ohif(header):
        reason = SLICES_REVERSED
    elif len(named) > 1:
        reason = f"several parts of it are called {named[0].name}"
    else:
        reason = ""
    name = drawn[0] if not reason else ""
    maker = str(header.get("Manufacturer", "") or "")
    return ForeignLabel(modality, name, referenced_series(header), maker, reason)


def label_on_ct(path: Path, label: ForeignLabel, grid: sitk.Image) -> CheckedLabel:
    """The mask of a label on the grid of its CT, at full size whatever was stored of it.

    Args:
        path: the SEG or RTSTRUCT.
        label: what its header said.
        grid: of the CT.

    Raises:
        LabelRefused: it cannot be placed in the CT.
    """
    try:
        if label.modality == "SEG":
            mask = read_segmentation(path, grid)[label.name]
        else:
            mask = structure_masks(read_structure_set(path), grid, [label.name])[0][label.name]
    except (DicomError, KeyError) as error:
        raise LabelRefused(f"the {label.modality} cannot be placed in the CT: {error}") from error
    return check_mask(mask, grid, notes=[f"read from a DICOM {label.modality}"])
