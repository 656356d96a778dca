"""What a client sends as a label, checked and turned into a mask on the CT's grid, or refused with the reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lib.nrrd_header import voxels_elsewhere
from lib.volume_format import volume_reader

from .errors import LabelRefused
from .grids import on_grid
from .whole_file import holds_bytes

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")
RAW_SUFFIX = ".bin"
UNREADABLE = "the label cannot be read: its file is damaged, cut off, or of another type than its name says"
# Larger than any CT; a small file that unpacks to more is not a label.
MOST_VOXELS = 1 << 29
# A mask of more than this share of the CT is the background, or a body contour.
LARGEST_SHARE = 0.5

_BYTES = {
    kind: size
    for size, kinds in {
        1: (sitk.sitkUInt8, sitk.sitkInt8),
        2: (sitk.sitkUInt16, sitk.sitkInt16),
        4: (sitk.sitkUInt32, sitk.sitkInt32, sitk.sitkFloat32),
        8: (sitk.sitkUInt64, sitk.sitkInt64, sitk.sitkFloat64),
    }.items()
    for kind in kinds
}


@dataclass(frozen=True)
class CheckedLabel:
    """A label that can be accepted.

    Attributes:
        mask: uint8, 0 and 1, with exactly the CT's geometry.
        voxels: number of voxels inside.
        volume_ml: volume inside.
        notes: what was done to it, in words.
    """

    mask: sitk.Image
    voxels: int
    volume_ml: float
    notes: tuple[str, ...]

    @property
    def no_tumour(self) -> bool:
        """Whether it says that there is no tumour."""
        return self.voxels == 0


def check_label_file(
    path: Path,
    grid: sitk.Image,
    names: Sequence[str],
    label_info: object = None,
    no_tumour: bool = False,
) -> CheckedLabel:
    """Check a label file as MONAI Label's clients send it.

    Args:
        path: NIfTI, NRRD, or `.bin` with one byte per voxel in the order of the CT's voxels.
        grid: image with the geometry of the CT.
        names: names of the labels that count, such as ("igtv",); capitals do not matter.
        label_info: the client's list of `{"name", "idx"}`; voxel value n means the n-th entry, since 3D Slicer leaves
            segments out and numbers the others anew when it exports them. `idx` may have gaps therefore, but must
            ascend: where it does not, `idx` and not the place in the list may be meant.
        no_tumour: the annotator says that there is none; the mask must be empty then, and only then may it be.

    Raises:
        LabelRefused: the text says why.
    """
    mask, notes = _choose(_read(path, grid), names, label_info)
    return check_mask(mask, grid, no_tumour, notes)


def check_proposal_file(path: Path, grid: sitk.Image, names: Sequence[str], label_info: object = None) -> CheckedLabel:
    """Check a mask that a client calls a proposal: as a label, but it may be empty; arguments as there.

    Raises:
        LabelRefused: the text says why.
    """
    mask, notes = _choose(_read(path, grid), names, label_info)
    return check_mask(mask, grid, not sitk.GetArrayViewFromImage(mask).any(), notes)


def check_mask(mask: sitk.Image, grid: sitk.Image, no_tumour: bool = False, notes: Sequence[str] = ()) -> CheckedLabel:
    """Check a mask (non-zero inside) of one label; arguments and errors as in `check_label_file`."""
    mask = sitk.Cast(mask != 0, sitk.sitkUInt8)
    inside = int(sitk.GetArrayViewFromImage(mask).sum(dtype=np.int64))
    if inside == 0:
        if not no_tumour:
            raise LabelRefused(
                "the label is empty: draw the tumour, or say that there is none (no_tumour) when you submit it"
            )
        empty = sitk.Image(grid.GetSize(), sitk.sitkUInt8)
        empty.CopyInformation(grid)
        return CheckedLabel(empty, 0, 0.0, tuple(notes))
    if no_tumour:
        raise LabelRefused(f"the label says that there is no tumour, but {inside} voxels are marked: empty it first")
    placed, note = on_grid(mask, grid)
    voxels = int(sitk.GetArrayViewFromImage(placed).sum(dtype=np.int64))
    share = voxels / placed.GetNumberOfPixels()
    if share > LARGEST_SHARE:
        raise LabelRefused(f"the label covers {share:.0%} of the CT: is it inverted, or the outline of the body?")
    volume_ml = voxels * float(np.prod(placed.GetSpacing())) / 1000
    return CheckedLabel(placed, voxels, round(volume_ml, 4), (*notes, *([note] if note else [])))


def segment_names(label_info: object) -> list[str]:
    """Names in a client's `label_info`, in order.

    Raises:
        LabelRefused: it is no list of objects with a name.
    """
    if label_info in (None, []):
        return []
    if not isinstance(label_info, Sequence) or isinstance(label_info, str):
        raise LabelRefused("label_info must be a list of objects with `name` and `idx`")
    if not all(isinstance(entry, Mapping) and isinstance(entry.get("name"), str) for entry in label_info):
        raise LabelRefused("label_info must be a list of objects with `name` and `idx`")
    return [entry["name"].strip() for entry in label_info]


def _check_order(names: Sequence[str], label_info: object) -> None:
    """Refuse a list whose `idx` do not ascend: by its order and by its `idx` other segments would be meant."""
    given = [entry.get("idx") for entry in label_info or ()]
    try:
        numbers = [int(idx) for idx in given if idx is not None]
    except (TypeError, ValueError) as error:
        raise LabelRefused("label_info: every `idx` must be a whole number, or be left out") from error
    if any(idx <= before for before, idx in pairwise(numbers)):
        told = ", ".join(f"{_shown(name)} {_shown(str(idx))}" for name, idx in zip(names, given, strict=True))
        raise LabelRefused(
            f"order and idx of label_info disagree ({told}): voxel value 1 means the first entry, 2 the second. Number "
            "the segments 1, 2, ... and send their entries in this order"
        )


def _read(path: Path, grid: sitk.Image) -> sitk.Image:
    return _read_raw(path, grid) if path.name.endswith(RAW_SUFFIX) else _read_image(path)


def _read_image(path: Path) -> sitk.Image:
    if not path.name.lower().endswith(IMAGE_SUFFIXES):
        raise LabelRefused(f"a label is a file of type {', '.join(IMAGE_SUFFIXES)}; send one of these")
    if voxels_elsewhere(path):
        raise LabelRefused("the label's NRRD file must hold its voxels itself, after its header: save it in one file")
    try:
        reader = volume_reader(path)
    except ValueError as error:
        raise LabelRefused(UNREADABLE) from error
    try:
        reader.ReadImageInformation()
        voxels = int(np.prod(reader.GetSize(), dtype=np.float64))
        if not 0 < voxels <= MOST_VOXELS:
            raise LabelRefused(f"the label has {voxels} voxels, at most {MOST_VOXELS} are possible")
        if not holds_bytes(path, voxels * reader.GetNumberOfComponents() * _BYTES.get(reader.GetPixelID(), 1)):
            raise RuntimeError("cut off")
        image = reader.Execute()
    except RuntimeError as error:
        raise LabelRefused(UNREADABLE) from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise LabelRefused(
            f"the label has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values per "
            "voxel: one 3-D label map is expected; overlapping segments are exported one by one"
        )
    return image


def _read_raw(path: Path, grid: sitk.Image) -> sitk.Image:
    size = grid.GetSize()
    if path.stat().st_size != grid.GetNumberOfPixels():
        raise LabelRefused(
            f"the label has {path.stat().st_size} bytes, the CT {grid.GetNumberOfPixels()} voxels: one byte per voxel "
            "of the CT is expected"
        )
    image = sitk.GetImageFromArray(np.fromfile(path, np.uint8).reshape(size[::-1]))
    image.CopyInformation(grid)
    return image


def _choose(labels: sitk.Image, names: Sequence[str], label_info: object) -> tuple[sitk.Image, list[str]]:
    """The mask of the label that counts, and what was left out."""
    values = sitk.GetArrayViewFromImage(labels)
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise LabelRefused("the label holds voxels that are no numbers")
    present = np.unique(values)
    if (present != np.round(present)).any() or present.min() < 0:
        raise LabelRefused("the label holds fractions or negative values: is it a probability map or an image?")
    present = [int(value) for value in present if value]
    segments = segment_names(label_info)
    _check_order(segments, label_info)
    wanted = {name.lower() for name in names}
    if not segments:
        if len(present) > 1:
            raise LabelRefused(
                f"the label holds the values {_some(present)} without their names: send the names in label_info"
            )
        return labels, []
    positions = [number for number, name in enumerate(segments, start=1) if name.lower() in wanted]
    if len(positions) != 1:
        which = "two segments are" if positions else "no segment is"
        raise LabelRefused(
            f"{which} called {' or '.join(names)}; there are: {', '.join(_shown(name) for name in segments)}. Name the "
            "one that counts so"
        )
    if len(segments) == 1 and len(present) <= 1:
        return labels, []
    if present and max(present) > len(segments):
        raise LabelRefused(f"the label holds the values {_some(present)}, but {len(segments)} names were sent")
    others = [_shown(segments[value - 1]) for value in present if value != positions[0]]
    return labels == positions[0], [f"left out: {name}" for name in others]


def _some(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values[:6]) + (", ..." if len(values) > 6 else "")


def _shown(name: str) -> str:
    return re.sub(r"[^ -~]+", "?", name)[:40]
