"""DICOM spatial registrations (REG): the rigid transform between two frames of reference."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from .errors import DicomError
from .series import Series
from .series_choice import choose_series, listing

# Registrations that differ by less are the same one, exported twice.
SAME_MM = 0.1
RIGID_TOLERANCE = 1e-3
# The points that are compared lie this far from the origin: the length of a body.
REACH_MM = 500.0


def find_registration(
    series: Sequence[Series], target_frame: str, pet_frame: str, reg_series: str | None = None
) -> tuple[sitk.Euler3DTransform | None, str]:
    """The stored transform from points of the target CT's frame to points of the PET's.

    A REG gives for each frame of reference the matrix into its own (PS3.3 C.20.2: x_reg = M x_frame); so
    x_pet = M_pet^-1 M_target x_target.

    Args:
        series: series of the patient; those of modality REG are looked at.
        target_frame, pet_frame: frame of reference UIDs.
        reg_series: the user's choice among several, UID or (part of) the description.

    Returns:
        The transform and the words for the log; None and the reason where no REG joins the two.

    Raises:
        DicomError: several registrations contradict each other, or the one that joins the two is not rigid.
    """
    candidates = [one for one in series if one.modality == "REG"]
    if reg_series and candidates:
        candidates = choose_series(candidates, reg_series, "reg_series")
    found = []
    for one in candidates:
        for header, path in zip(one.headers, one.files, strict=True):
            matrix = _between(header, path.name, target_frame, pet_frame)
            if matrix is not None:
                found.append((one, matrix))
    if not found:
        return None, "no DICOM registration (REG) joins the two frames of reference"
    points = np.vstack([np.eye(3) * REACH_MM, np.zeros(3)])
    placed = [points @ matrix[:3, :3].T + matrix[:3, 3] for _, matrix in found]
    if any(np.abs(other - placed[0]).max() > SAME_MM for other in placed):
        raise DicomError(
            f"{len(found)} registrations contradict each other: {listing([one for one, _ in found])}; choose one with "
            "--reg_series"
        )
    return _transform(found[0][1], found[0][0].label), f"moved by {found[0][0].label}"


def _between(header: Dataset, name: str, target_frame: str, pet_frame: str) -> np.ndarray | None:
    """4x4 matrix from target to PET points, None where the object does not join them."""
    frames = {str(header.get("FrameOfReferenceUID") or ""): np.eye(4)}
    for item in header.get("RegistrationSequence") or ():
        matrix = np.eye(4)
        for step in item.get("MatrixRegistrationSequence") or ():
            for one in step.get("MatrixSequence") or ():
                matrix = _matrix(one, name) @ matrix
        uid = str(item.get("FrameOfReferenceUID") or "")
        if uid:
            frames[uid] = matrix
    if target_frame not in frames or pet_frame not in frames:
        return None
    return np.linalg.inv(frames[pet_frame]) @ frames[target_frame]


def _matrix(item: Dataset, name: str) -> np.ndarray:
    values = item.get("FrameOfReferenceTransformationMatrix") or ()
    try:
        matrix = np.array(values, dtype=float).reshape(4, 4)
    except (TypeError, ValueError) as error:
        raise DicomError(
            f"{name}: FrameOfReferenceTransformationMatrix (3006,00C6) has {len(values)} values, 16 numbers are needed"
        ) from error
    rotation = matrix[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=RIGID_TOLERANCE) and np.linalg.det(rotation) > 0
    if not rigid or not np.isfinite(matrix).all():
        kind = item.get("FrameOfReferenceTransformationMatrixType") or "no type"
        raise DicomError(
            f"{name}: the registration is not rigid ({kind}): it would change the tumour's size; export a rigid one, "
            "or leave it out, then the CTs are registered here"
        )
    return matrix


def _transform(matrix: np.ndarray, label: str) -> sitk.Euler3DTransform:
    # printed with few digits the rotation is not quite one
    left, _, right = np.linalg.svd(matrix[:3, :3])
    transform = sitk.Euler3DTransform()
    try:
        transform.SetMatrix((left @ right).ravel().tolist(), 1e-6)
    except RuntimeError as error:
        raise DicomError(f"{label}: its matrix is no rotation") from error
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform
