"""How well two CTs lie on each other: numbers with a limit, and a checkerboard picture.

Measured on 3 mm voxels. Two scans of one patient reach a bone Dice of 0.79 and more with opposite phases of breathing,
noise or half the field; different patients stay below 0.27, and their correlation below 0.45 (thoraces and thighs of
four people), which is where the limits come from.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing
from .errors import DicomError

LEAST_BONE_DICE = 0.55
LEAST_CORRELATION = 0.55
# With less bone than this in the common field its Dice says nothing, and the correlation decides alone.
LEAST_BONE_ML = 5.0
LEAST_OVERLAP = 0.1
GRID_MM = 3.0
BLUR_MM = 2.0
BODY_HU = -300.0
BONE_HU = 150.0
SOFT_WINDOW_HU = (-200.0, 300.0)
PICTURE_WINDOW_HU = (-600.0, 400.0)
SQUARE_MM = 40.0
_OUTSIDE_HU = -3000.0


@dataclass(frozen=True)
class Quality:
    """Agreement of two aligned CTs where both were scanned.

    Attributes:
        bone_dice: Dice of the bones (above 150 HU), which breathing hardly moves: what tells one person from another.
        body_dice: Dice of the bodies.
        correlation: of the voxels inside the bodies, HU clipped to a soft-tissue window.
        overlap: share of the smaller scanned field that both share.
        bone_ml: volume of the bones that were compared.
    """

    bone_dice: float
    body_dice: float
    correlation: float
    overlap: float
    bone_ml: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, JSON-ready."""
        return {key: round(value, 3) for key, value in asdict(self).items()}

    def __str__(self) -> str:
        return (
            f"bone Dice {self.bone_dice:.2f}, body Dice {self.body_dice:.2f}, correlation {self.correlation:.2f}, "
            f"overlap {self.overlap:.0%}"
        )


def alignment_quality(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> Quality:
    """Compare two CTs.

    Args:
        fixed, moving: CTs in HU.
        transform: from points of `fixed` to points of `moving`.
    """
    one, other, both = _on_one_grid(fixed, moving, transform)
    smaller = min(float(np.prod(image.GetSize()) * np.prod(image.GetSpacing())) for image in (fixed, moving))
    overlap = min(1.0, float(both.sum() * GRID_MM**3 / smaller))
    if not both.any():
        return Quality(0.0, 0.0, 0.0, overlap, 0.0)
    bodies = [_body(values) & both for values in (one, other)]
    inside = bodies[0] | bodies[1]
    bones = [(values > BONE_HU) & body for values, body in zip((one, other), bodies, strict=True)]
    bone_ml = float(max(bone.sum() for bone in bones)) * GRID_MM**3 / 1000
    return Quality(_dice(*bones), _dice(*bodies), _correlation(one[inside], other[inside]), overlap, bone_ml)


def check_quality(quality: Quality, how: str, least_bone_dice: float = LEAST_BONE_DICE) -> None:
    """Refuse an alignment that two scans of one patient would not have.

    Args:
        quality: what was measured.
        how: where the alignment comes from, for the error.
        least_bone_dice: limit.

    Raises:
        DicomError: below a limit.
    """
    bones_fail = quality.bone_ml >= LEAST_BONE_ML and quality.bone_dice < least_bone_dice
    if bones_fail or quality.correlation < LEAST_CORRELATION or quality.overlap < LEAST_OVERLAP:
        raise DicomError(
            f"the target CT does not fit the CT of the PET after {how} ({quality}; at least bone Dice "
            f"{least_bone_dice:g} and correlation {LEAST_CORRELATION:g} are asked for): is it of another patient, or "
            "another part of the body? Choose another one with --target_ct, or export the DICOM registration (REG)"
        )


def save_checkerboard(
    path: str | Path, fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, title: str
) -> None:
    """Write a PNG: squares of one CT and of the other in turn, axial, coronal, sagittal; edges must run on.

    Args:
        path: file to write.
        fixed, moving, transform: as for `alignment_quality`.
        title: heading; no patient's name.
    """
    one, other, both = _on_one_grid(fixed, moving, transform)
    inside = np.argwhere(both) if both.any() else np.argwhere(np.ones_like(both))
    middle = np.round(inside.mean(axis=0)).astype(int)
    squares = np.add.reduce(np.indices(one.shape) // round(SQUARE_MM / GRID_MM)) % 2 == 0
    board = np.where(both & squares, other, one)
    figure = Figure(figsize=(13.0, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for panel, axis, name in zip(figure.subplots(1, 3), (0, 1, 2), ("axial", "coronal", "sagittal"), strict=True):
        plane = np.take(board, middle[axis], axis=axis)
        low, high = PICTURE_WINDOW_HU
        panel.imshow(plane, cmap="gray", vmin=low, vmax=high, origin="upper" if axis == 0 else "lower")
        panel.set_title(name, fontsize=9)
        panel.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80)


def _on_one_grid(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform):
    """Both on 3 mm voxels of the fixed CT's field, (z, y, x), and where both were scanned."""
    size = [max(1, round(n * step / GRID_MM)) for n, step in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    values = []
    for image, change in ((fixed, sitk.Transform()), (moving, transform)):
        shrink = [max(1, int(GRID_MM / 2 / step)) for step in image.GetSpacing()]
        blurred = sitk.SmoothingRecursiveGaussian(sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), shrink), BLUR_MM)
        placed = sitk.Resample(
            blurred, size, change, sitk.sitkLinear, fixed.GetOrigin(), [GRID_MM] * 3, fixed.GetDirection(),
            _OUTSIDE_HU, sitk.sitkFloat32,
        )  # fmt: skip
        values.append(sitk.GetArrayFromImage(placed))
    one, other = values
    return one, other, (one > _OUTSIDE_HU + 1) & (other > _OUTSIDE_HU + 1)


def _body(values: np.ndarray) -> np.ndarray:
    """Largest piece of tissue after an opening that cuts the table off."""
    tissue = sitk.GetImageFromArray((values > BODY_HU).astype(np.uint8))
    pieces = sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(tissue, [2, 2, 2]))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(pieces)) == 1


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    clipped = [np.clip(values, *SOFT_WINDOW_HU) for values in (one, other)]
    if one.size < 2 or min(values.std() for values in clipped) == 0:
        return 0.0
    return float(np.corrcoef(*clipped)[0, 1])


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 0.0
