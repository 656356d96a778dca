"""Rigid CT-CT registration: where a planning CT lies in the frame of reference of a PET/CT.

A coarse search over all shifts (normalised cross-correlation by FFT) finds the place whatever the tables' heights and
the scanned lengths are; a mutual-information registration refines shift and rotation at three resolutions.
"""

import numpy as np
import SimpleITK as sitk

from .errors import DicomError

AIR_HU = -1024.0
# Below and above, noise of air and streaks of metal lead the similarity measure astray.
WINDOW_HU = (-1000.0, 300.0)
COARSE_MM = 8.0
# Share of the smaller CT that must overlap in the coarse search.
LEAST_OVERLAP = 0.4
# (voxel size in mm, blur in mm)
LEVELS = ((6.0, 3.0), (3.0, 1.5), (2.0, 0.0))
# Voxels whose values are compared in every step.
SAMPLES = 50_000
HISTOGRAM_BINS = 32
ITERATIONS = 150
SEED = 1
# A patient lies at most this much turned between two tables; more is an optimiser that lost its way.
LARGEST_ROTATION_DEGREES = 30.0


def register_rigidly(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    """Align two CTs of one patient.

    Args:
        fixed: CT in HU, the target.
        moving: CT in HU, of another frame of reference.

    Returns:
        The transform from points of `fixed` to points of `moving`, patient coordinates (LPS, mm), as
        `sitk.Resample(moving, fixed, transform)` takes it.

    Raises:
        DicomError: they do not overlap at any place, or the optimiser fails.
    """
    transform = sitk.Euler3DTransform()
    transform.SetCenter(_centre(fixed))
    transform.SetTranslation(_coarse_shift(fixed, moving))
    for spacing, blur in LEVELS:
        transform = _refine(_prepared(fixed, spacing, blur), _prepared(moving, spacing, blur), transform)
    angles = np.degrees(transform.GetParameters()[:3])
    if np.abs(angles).max() > LARGEST_ROTATION_DEGREES:
        raise DicomError(
            f"rigid registration turned the CT by {np.abs(angles).max():.0f} degrees, no patient lies so: are the two "
            "CTs of one patient? Else export the DICOM registration (REG) of the planning system"
        )
    return transform


def move_rigidly(image: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Place an image of the moving frame in the fixed one by its header: no voxel is interpolated.

    Args:
        image: any image of the moving frame.
        transform: rigid, from points of the fixed frame to points of the moving one.

    Returns:
        A copy with origin and direction in the fixed frame.
    """
    inverse = transform.GetInverse()
    origin = np.array(image.GetOrigin())
    placed = np.array(inverse.TransformPoint(origin.tolist()))
    axes = np.array(image.GetDirection()).reshape(3, 3)
    turned = np.stack([np.array(inverse.TransformPoint((origin + axis).tolist())) - placed for axis in axes.T], axis=1)
    # rounding of the two differences must not leave a direction that is no rotation
    left, _, right = np.linalg.svd(turned)
    moved = sitk.Image(image)
    moved.SetOrigin(placed.tolist())
    moved.SetDirection((left @ right).ravel().tolist())
    return moved


def describe(transform: sitk.Transform, centre_mm: np.ndarray) -> dict:
    """Shift of a point and rotation, for people: JSON-ready.

    Args:
        transform: rigid.
        centre_mm: point of the fixed frame whose shift is told.
    """
    centre = np.asarray(centre_mm, dtype=float)
    moved = np.array(transform.TransformPoint(centre.tolist()))
    axes = [np.array(transform.TransformPoint((centre + axis).tolist())) - moved for axis in np.eye(3)]
    rotation = np.stack(axes, axis=1)
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = moved - rotation @ centre
    return {
        "shift_lps_mm": np.round(moved - centre, 2).tolist(),
        "rotation_degrees": round(float(angle), 2),
        "matrix_target_to_pet_lps": np.round(matrix, 6).tolist(),
    }


def _centre(image: sitk.Image) -> tuple[float, float, float]:
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _prepared(image: sitk.Image, spacing_mm: float, blur_mm: float) -> sitk.Image:
    """Clipped, blurred and resampled to about cubic voxels along its own axes, none finer than it was."""
    image = _clipped(image, spacing_mm)
    if blur_mm:
        image = sitk.SmoothingRecursiveGaussian(image, blur_mm)
    return _resampled(image, [max(spacing_mm, one) for one in image.GetSpacing()], image.GetDirection())


def _clipped(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Float32 within the window; means of voxel blocks where those still are at most half as large as asked for."""
    image = sitk.Clamp(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkFloat32, *WINDOW_HU)
    factors = [max(1, int(spacing_mm / 2 / one)) for one in image.GetSpacing()]
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def _resampled(image: sitk.Image, spacing_mm, direction) -> sitk.Image:
    """On a grid of the given spacing and direction around all of the image."""
    size = np.array(image.GetSize())
    corners = np.array(
        [
            image.TransformContinuousIndexToPhysicalPoint((np.array(corner) * size - 0.5).tolist())
            for corner in np.ndindex(2, 2, 2)
        ]
    )
    axes = np.array(direction).reshape(3, 3)
    along = corners @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    spacing = np.asarray(spacing_mm, dtype=float)
    origin = axes @ (low + spacing / 2)
    number = np.maximum(1, np.round((high - low) / spacing)).astype(int)
    return sitk.Resample(
        image, number.tolist(), sitk.Transform(), sitk.sitkLinear, origin.tolist(), spacing.tolist(), direction,
        AIR_HU, sitk.sitkFloat32,
    )  # fmt: skip


def _coarse_shift(fixed: sitk.Image, moving: sitk.Image) -> tuple[float, float, float]:
    """Shift from fixed to moving points with the highest normalised cross-correlation."""
    pair = []
    for image in (fixed, moving):
        clipped = sitk.SmoothingRecursiveGaussian(_clipped(image, COARSE_MM), COARSE_MM / 2)
        pair.append(_resampled(clipped, [COARSE_MM] * 3, np.eye(3).ravel().tolist()))
    origins = [np.array(image.GetOrigin()) for image in pair]
    for image in pair:
        image.SetOrigin((0.0, 0.0, 0.0))  # the filter counts in voxels and wants one place for both
    smaller = min(int(np.prod(image.GetSize())) for image in pair)
    masks = [sitk.Cast(image > -2000.0, sitk.sitkFloat32) for image in pair]
    correlation = sitk.MaskedFFTNormalizedCorrelation(
        pair[0], pair[1], masks[0], masks[1], requiredNumberOfOverlappingPixels=round(LEAST_OVERLAP * smaller)
    )
    values = sitk.GetArrayViewFromImage(correlation)
    if not np.isfinite(values).all() or values.max() <= 0:
        raise DicomError("rigid registration finds no place where the two CTs overlap: are they of one patient?")
    peak = np.array(np.unravel_index(np.argmax(values), values.shape))[::-1]
    # index of the peak for images that lie voxel on voxel: the last voxel of the moving one
    steps = peak - (np.array(pair[1].GetSize()) - 1)
    shift = origins[1] - origins[0] - steps * COARSE_MM
    return tuple(float(value) for value in shift)


def _refine(fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform(start)
    share = min(1.0, SAMPLES / fixed.GetNumberOfPixels())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetMetricFixedMask(_body(fixed))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.005, numberOfIterations=ITERATIONS, relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DicomError(f"rigid registration failed ({reason}): are the two CTs of one patient?") from error
    return transform


def _body(image: sitk.Image) -> sitk.Image:
    """The body with a rim of air, so that the skin counts and empty space and tables far away do not."""
    components = sitk.RelabelComponent(sitk.ConnectedComponent(image > -300.0))
    body = components == 1
    return sitk.BinaryDilate(body, [max(1, round(12.0 / spacing)) for spacing in image.GetSpacing()])
