"""Where the slices of a series lie: order, spacing, origin, direction, from positions, never from names or numbers."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .pixels import pixel_values
from .series import Series

# Two slices are at the same place below this; scanners print positions with at least two digits.
SAME_PLACE_MM = 0.01
# A slice may lie this share of the spacing off the regular grid (tables stop unevenly, positions are rounded).
IRREGULARITY = 0.1
# A step longer than this share of the usual one is a gap.
GAP = 1.5
# Origins may drift sideways by this much over the stack, or by the tangent of half a degree of tilt.
DRIFT_MM = 0.1
LEAST_TILT_DEGREES = 0.5
# Direction cosines of one series agree to this; text of 16 bytes carries far more digits.
COSINE_TOLERANCE = 1e-3
RELATIVE_TOLERANCE = 1e-3
# SliceThickness and SpacingBetweenSlices that differ more than this from the positions are worth a line in the log.
THICKNESS_TOLERANCE_MM = 0.05


@dataclass(frozen=True)
class SliceStack:
    """A regular grid and the slices on it.

    Args:
        order: indices into `series.files`, in the order of increasing position along the normal; copies left out.
        spacing_mm: (x, y, z): between columns, between rows, between slices.
        origin_mm: centre of the first voxel, patient coordinates (LPS).
        direction: 3x3 row by row, columns are the axes (SimpleITK's convention).
        decisions: what was found and decided, for the log.
    """

    order: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    decisions: tuple[str, ...]


def stack(series: Series) -> SliceStack:
    """Sort the slices of a series along their normal and check that they form a volume.

    Raises:
        DicomError: an attribute is missing; orientations, sizes, pixel spacings or frames of reference are mixed;
            slices are missing (the text names the position), unevenly spaced, tilted, or two differ at one place.
    """
    headers = series.headers
    for index, header in enumerate(headers):
        _check_attributes(series, index, header)
    rows_columns = _common(series, "Rows", "Columns")
    pixel_spacing = _common(series, "PixelSpacing")
    _check_frames(series)
    axes = _axes(series)
    positions = np.array([_floats(header, "ImagePositionPatient") for header in headers]) @ axes.T  # along x, y, z axes
    decisions = [f"{len(headers)} files of {rows_columns[1]:g} x {rows_columns[0]:g} pixels"]
    order = np.argsort(positions[:, 2], kind="stable")
    order = _without_copies(series, order, positions[:, 2], decisions)
    depths = positions[order, 2]
    slice_spacing = _slice_spacing(series, order, depths, decisions)
    _check_drift(series, positions[order], decisions)
    _compare_thickness(headers[order[0]], slice_spacing, len(order), decisions)
    _note_left_out([headers[index] for index in order], decisions)
    return SliceStack(
        order=tuple(int(index) for index in order),
        spacing_mm=(float(pixel_spacing[1]), float(pixel_spacing[0]), float(slice_spacing)),
        origin_mm=tuple(float(value) for value in positions[order[0]] @ axes),
        direction=tuple(float(value) for value in axes.T.ravel()),
        decisions=tuple(decisions),
    )


def _check_attributes(series: Series, index: int, header: Dataset) -> None:
    path = series.files[index]
    if np.any(_floats(header, "NumberOfFrames") > 1):
        raise DicomError(
            f"{path.name} holds {header.NumberOfFrames} frames (enhanced or multi-frame DICOM), which is not read; "
            "export the series as single-frame CT or PET images"
        )
    counts = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2, "Rows": 1, "Columns": 1}
    for keyword, count in counts.items():
        values = _floats(header, keyword)
        if len(values) == 0:
            raise missing(header, keyword, "without it nobody knows where the slice lies; export it again", path)
        if len(values) != count or not np.all(np.isfinite(values)):
            raise DicomError(f"{path.name}: {tag_name(keyword)} is {header.get(keyword)}, {count} numbers are needed")
    if min(_floats(header, "PixelSpacing")) <= 0:
        raise DicomError(f"{path.name}: {tag_name('PixelSpacing')} is {header.PixelSpacing}; it must be above 0")


def _floats(header: Dataset, keyword: str) -> np.ndarray:
    value = header.get(keyword)
    if value is None or value == "":
        return np.zeros(0)
    try:
        return np.atleast_1d(np.array(value, dtype=np.float64))
    except (TypeError, ValueError):
        return np.array([np.nan])


def _common(series: Series, *keywords: str) -> np.ndarray:
    """The value that all slices share."""
    values = np.array([np.concatenate([_floats(header, word) for word in keywords]) for header in series.headers])
    differs = np.any(np.abs(values - np.median(values, axis=0)) > RELATIVE_TOLERANCE * np.abs(values), axis=1)
    if np.any(differs):
        odd = int(np.argmax(differs))
        words = " and ".join(tag_name(keyword) for keyword in keywords)
        usual = "x".join(f"{value:g}" for value in np.median(values, axis=0))
        raise DicomError(
            f"{series.label}: {words} are mixed: {series.files[odd].name} has "
            f"{'x'.join(f'{value:g}' for value in values[odd])}, others {usual}; export one volume per series"
        )
    return values[0]


def _check_frames(series: Series) -> None:
    frames = {str(header.get("FrameOfReferenceUID") or "") for header in series.headers}
    if len(frames) > 1:
        raise DicomError(
            f"{series.label}: {tag_name('FrameOfReferenceUID')} is mixed ({len(frames)} values), its slices are not "
            "in one coordinate system; export the series again"
        )


def _axes(series: Series) -> np.ndarray:
    """Unit vectors of columns, rows and slices, one per row of a 3x3 array."""
    cosines = np.array([_floats(header, "ImageOrientationPatient") for header in series.headers])
    off = np.max(np.abs(cosines - cosines[0]), axis=1)
    if np.any(off > COSINE_TOLERANCE):
        odd = int(np.argmax(off))
        raise DicomError(
            f"{series.label}: {tag_name('ImageOrientationPatient')} is mixed: {series.files[odd].name} lies otherwise "
            f"than {series.files[0].name}; export one volume per series"
        )
    x_axis, y_axis = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(x_axis), np.linalg.norm(y_axis)
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(x_axis @ y_axis) > COSINE_TOLERANCE * 10:
        raise DicomError(
            f"{series.files[0].name}: {tag_name('ImageOrientationPatient')} {series.headers[0].ImageOrientationPatient}"
            " are no two perpendicular unit vectors"
        )
    # rounding leaves the two not quite perpendicular; NIfTI and SimpleITK want them exact
    x_axis = x_axis / lengths[0]
    y_axis = y_axis - (y_axis @ x_axis) * x_axis
    y_axis = y_axis / np.linalg.norm(y_axis)
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)])


def _without_copies(series: Series, order: np.ndarray, depths: np.ndarray, decisions: list[str]) -> np.ndarray:
    """One file per position; more are dropped when they hold the same image and refused when they differ."""
    places = defaultdict(list)
    place = depths[order[0]]
    for index in order:
        if depths[index] - place > SAME_PLACE_MM:
            place = depths[index]
        places[place].append(int(index))
    dropped = 0
    for place, indices in places.items():
        first = indices[0]
        for other in indices[1:]:
            if not _same_image(series, first, other):
                raise DicomError(
                    f"{series.label}: two different images lie at {place:.2f} mm ({series.files[first].name} and "
                    f"{series.files[other].name}); remove the wrong one or export the series again"
                )
            dropped += 1
    instances = defaultdict(set)
    for index in order:
        instances[str(series.headers[index].get("SOPInstanceUID"))].add(round(float(depths[index]), 2))
    if any(len(found) > 1 for found in instances.values()):
        raise DicomError(f"{series.label}: one SOPInstanceUID (0008,0018) occurs at two positions; export it again")
    if dropped:
        decisions.append(f"{dropped} copies of images left out")
    return np.array([indices[0] for indices in places.values()])


def _same_image(series: Series, first: int, other: int) -> bool:
    one, two = series.headers[first], series.headers[other]
    for keyword in ("ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
        # by number: exports print "1" or "1.000000"
        values = _floats(one, keyword), _floats(two, keyword)
        if values[0].shape != values[1].shape or not np.allclose(*values, rtol=1e-6, atol=SAME_PLACE_MM / 10):
            return False
    if str(one.get("Units")) != str(two.get("Units")):
        return False
    return np.array_equal(pixel_values(series.files[first]), pixel_values(series.files[other]))


def _slice_spacing(series: Series, order: np.ndarray, depths: np.ndarray, decisions: list[str]) -> float:
    if len(depths) == 1:
        header = series.headers[order[0]]
        thickness = _floats(header, "SliceThickness")
        if len(thickness) != 1 or not thickness[0] > 0:
            raise missing(header, "SliceThickness", "a single slice needs it", series.files[order[0]])
        decisions.append(f"a single slice; SliceThickness {thickness[0]:g} mm taken as its depth")
        return float(thickness[0])
    steps = np.diff(depths)
    usual = float(np.median(steps))
    gaps = np.flatnonzero(steps > GAP * usual)
    if len(gaps):
        where = "; ".join(
            f"{round(steps[gap] / usual) - 1} between {depths[gap]:.2f} and {depths[gap + 1]:.2f} mm"
            for gap in gaps[:5]
        )
        raise DicomError(
            f"{series.label}: slices are missing ({where}; others are {usual:.3g} mm apart); export the whole series"
        )
    spacing = float((depths[-1] - depths[0]) / (len(depths) - 1))
    off = np.abs(depths - depths[0] - spacing * np.arange(len(depths)))
    worst = int(np.argmax(off))
    if off[worst] > IRREGULARITY * spacing or steps.min() < spacing * (1 - 2 * IRREGULARITY):
        raise DicomError(
            f"{series.label}: slices are unevenly spaced ({steps.min():.3g} to {steps.max():.3g} mm, worst at "
            f"{depths[worst]:.2f} mm); export the series with one spacing"
        )
    decisions.append(f"{len(depths)} slices, {spacing:.6g} mm apart by their positions")
    if off[worst] > SAME_PLACE_MM:
        decisions.append(f"positions off the regular grid by up to {off[worst]:.3f} mm, accepted")
    return spacing


def _check_drift(series: Series, positions: np.ndarray, decisions: list[str]) -> None:
    """Slices must lie straight above each other; a steady drift is a tilted gantry."""
    if len(positions) < 2:
        return
    drift = positions[:, :2] - positions[0, :2]
    height = positions[-1, 2] - positions[0, 2]
    worst = float(np.max(np.linalg.norm(drift, axis=1)))
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(drift[-1]), height)))
    stated = _floats(series.headers[0], "GantryDetectorTilt")
    if worst > DRIFT_MM:
        steady = np.outer(np.linspace(0, 1, len(drift)), drift[-1])
        if tilt >= LEAST_TILT_DEGREES and np.max(np.abs(drift - steady)) <= max(DRIFT_MM, 0.05 * worst):
            raise DicomError(
                f"{series.label}: the gantry was tilted by {tilt:.1f} degrees, so the volume is sheared; it is not "
                "corrected here: export a series without tilt, or resample it first"
            )
        # rounding of an oblique direction over a long stack stays far below a voxel
        if tilt >= LEAST_TILT_DEGREES or worst > 0.5 * float(min(_floats(series.headers[0], "PixelSpacing"))):
            raise DicomError(
                f"{series.label}: its slices are shifted sideways by up to {worst:.1f} mm against each other; export "
                "one volume per series"
            )
        decisions.append(f"slices shifted sideways by up to {worst:.2f} mm, accepted")
    if len(stated) == 1 and abs(stated[0]) >= LEAST_TILT_DEGREES:
        decisions.append(f"GantryDetectorTilt says {stated[0]:g} degrees, the positions say none; positions win")


def _compare_thickness(header: Dataset, spacing: float, count: int, decisions: list[str]) -> None:
    if count == 1:
        return
    for keyword in ("SliceThickness", "SpacingBetweenSlices"):
        stated = _floats(header, keyword)
        if len(stated) == 1 and abs(abs(stated[0]) - spacing) > THICKNESS_TOLERANCE_MM:
            decisions.append(
                f"{keyword} says {abs(stated[0]):g} mm, positions are {spacing:.6g} mm apart; positions win"
            )


def _note_left_out(headers: list[Dataset], decisions: list[str]) -> None:
    """Every second file lost leaves an even spacing, and some exports thin slices out on purpose: a line, no error."""
    numbers = [str(header.get("InstanceNumber") or "") for header in headers]
    if len(numbers) < 3 or not all(number.isdigit() for number in numbers):
        return
    steps = np.abs(np.diff([int(number) for number in numbers]))
    if steps.min() == steps.max() > 1:
        decisions.append(f"InstanceNumber goes in steps of {steps[0]}: slices between may have been left out on export")
