"""PET in SUVbw (g/ml) from what the scanner wrote.

Rules: QIBA pseudo-code for SUV, and the IBSI manual for SUV computation (https://oncoray.github.io/suv_computation,
CC BY 4.0). What they cannot tell is refused, never guessed; each decision is a line of the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .geometry import stack
from .series import Series, load_series
from .suv_body import to_body_weight, weight_kg
from .suv_clock import text
from .suv_dose import half_life_s, injected_dose_bq, radiopharmaceutical
from .suv_private import PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, private_number
from .suv_times import decay_times
from .volume import read_stack

# One series has one of each of these; slices that differ were mixed up.
SHARED = (
    "Modality",
    "Units",
    "DecayCorrection",
    "CorrectedImage",
    "SUVType",
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "Manufacturer",
)
# The two private factors of Philips agree to this when weight and dose were not corrected afterwards.
PHILIPS_AGREEMENT = 0.02


@dataclass(frozen=True)
class SuvScale:
    """SUVbw per unit of the rescaled value for each slice, in the order of the headers, and how it was found."""

    factors: tuple[float, ...]
    decisions: tuple[str, ...]


def read_suv(series_dir: Series | str | Path) -> tuple[sitk.Image, list[str]]:
    """A PET series as a float32 volume in SUVbw.

    Args:
        series_dir: a folder with one PET series, or the series.

    Returns:
        The image (g/ml, patient coordinates) and the decisions taken, for the log.

    Raises:
        DicomError: the slices form no volume, or SUV cannot be computed safely; the text names the missing tag.
    """
    series = series_dir if isinstance(series_dir, Series) else load_series(series_dir)
    if series.modality != "PT":
        raise DicomError(f"{series.label} is no PET; SUV is computed of PET only")
    grid = stack(series)
    try:
        scale = suv_scale([series.headers[index] for index in grid.order])
    except DicomError as error:
        raise DicomError(f"{series.label}: {error}") from error
    image, decisions = read_stack(series, grid)
    voxels = sitk.GetArrayFromImage(image) * np.asarray(scale.factors, np.float32)[:, None, None]
    result = sitk.GetImageFromArray(voxels.astype(np.float32))
    result.CopyInformation(image)
    return result, [*decisions, *scale.decisions]


def suv_factors(datasets: Sequence[Dataset]) -> list[float]:
    """SUVbw per stored unit for each slice, from headers alone.

    The stored unit is the one that Units (0054,1001) names, i.e. that of the value after RescaleSlope and
    RescaleIntercept of the slice: SUVbw = factor * (slope * pixel + intercept), with a factor per Bq/ml for BQML, per
    g/ml for GML, per count for CNTS.

    Args:
        datasets: headers of one series, in any order; pixels are not needed.

    Returns:
        One factor per dataset, in their order.

    Raises:
        DicomError: SUV cannot be computed safely; the text names the missing tag.
    """
    return list(suv_scale(datasets).factors)


def suv_scale(datasets: Sequence[Dataset]) -> SuvScale:
    """`suv_factors` with the decisions that led to them."""
    headers = list(datasets)
    if not headers:
        raise DicomError("there are no PET headers")
    for keyword in SHARED:
        values = {text(header, keyword) for header in headers}
        if len(values) > 1:
            listing = ", ".join(sorted(value or "none" for value in values))
            raise DicomError(f"{tag_name(keyword)} differs between slices of one series ({listing}); SUV is not safe")
    modality = text(headers[0], "Modality")
    if modality and modality != "PT":
        raise DicomError(f"{tag_name('Modality')} is {modality}; SUV is computed of PET only")
    units = text(headers[0], "Units").upper()
    if not units:
        raise missing(headers[0], "Units", "nobody knows what the values are")
    decisions = [f"Units {units}"]
    _check_picture(headers[0], decisions)
    if units == "BQML":
        factors = _from_activity(headers, np.ones(len(headers)), decisions)
    elif units == "CNTS":
        factors = _from_counts(headers, decisions)
    elif units in ("GML", "CM2ML"):
        factors = np.full(len(headers), _from_suv(headers[0], units, decisions))
    else:
        raise DicomError(
            f"{tag_name('Units')} is {units}, of which SUV cannot be computed (BQML, GML, CM2ML, Philips CNTS can); "
            "an uncorrected series is of no use, export the attenuation-corrected one"
        )
    values = f"{factors.min():.6g}" + (f" to {factors.max():.6g}" if np.ptp(factors) > 0 else "")
    decisions.append(f"SUVbw per unit: {values}")
    return SuvScale(tuple(float(factor) for factor in factors), tuple(decisions))


def _from_suv(header: Dataset, units: str, decisions: list[str]) -> float:
    """The scanner or a workstation computed an SUV already; doing so again would be wrong."""
    suv_type = text(header, "SUVType").upper() or ("BW" if units == "GML" else "BSA")
    if (suv_type == "BSA") != (units == "CM2ML"):
        raise DicomError(f"{tag_name('Units')} {units} and {tag_name('SUVType')} {suv_type} contradict each other")
    if suv_type == "BW":
        decisions.append("values are SUVbw already")
        return 1.0
    return to_body_weight(header, suv_type, decisions)


def _from_counts(headers: Sequence[Dataset], decisions: list[str]) -> np.ndarray:
    """Philips counts: a private factor to SUVbw, or one to Bq/ml.

    The factor to Bq/ml comes first where dose and times allow it (IBSI), since it heeds a weight that was corrected
    after the scan; otherwise the one to SUVbw (QIBA).
    """
    if "PHILIPS" not in text(headers[0], "Manufacturer").upper():
        raise DicomError(f"{tag_name('Units')} CNTS can be turned into SUV for Philips only")
    activity = [private_number(header, PHILIPS_ACTIVITY_FACTOR) for header in headers]
    direct = [private_number(header, PHILIPS_SUV_FACTOR) for header in headers]
    if all(activity):
        try:
            notes: list[str] = []
            factors = _from_activity(headers, np.array(activity), notes)
        except DicomError as error:
            if not all(direct):
                raise
            decisions.append(f"Philips activity factor (7053,1009) not usable: {error}")
        else:
            decisions.extend(["Philips factor to Bq/ml (7053,1009)", *notes])
            if all(direct) and np.max(np.abs(np.array(direct) / factors - 1)) > PHILIPS_AGREEMENT:
                decisions.append(
                    f"Philips SUV factor (7053,1000) is {direct[0]:.6g} instead: it knew another weight or dose"
                )
            return factors
    if not all(direct):
        raise DicomError(
            "Philips SUV factor (7053,1000) and activity factor (7053,1009) are missing; SUV cannot be computed of "
            "counts: export the series with its private tags"
        )
    suv_type = text(headers[0], "SUVType").upper()
    if suv_type not in ("", "BW"):
        raise DicomError(f"{tag_name('SUVType')} {suv_type} contradicts the Philips factor to SUVbw (7053,1000)")
    decisions.append("Philips factor to SUVbw (7053,1000)")
    return np.array(direct, dtype=np.float64)


def _from_activity(headers: Sequence[Dataset], becquerel_per_ml: np.ndarray, decisions: list[str]) -> np.ndarray:
    """SUVbw = activity concentration * weight / dose left at the moment to which the activity belongs."""
    _check_decay(headers[0])
    item = radiopharmaceutical(headers)
    weight = weight_kg(headers[0], decisions)
    dose = injected_dose_bq(item, decisions)
    decisions.append(f"weight {weight:g} kg")
    kind = text(headers[0], "DecayCorrection").upper()
    if kind not in ("START", "ADMIN", "NONE"):
        if kind:
            raise DicomError(f"{tag_name('DecayCorrection')} is {kind}; START, ADMIN or NONE are known")
        raise missing(headers[0], "DecayCorrection", "the decay of the tracer cannot be computed")
    if kind == "ADMIN":
        decisions.append("DecayCorrection ADMIN: activity is that at injection, no further decay")
        left = np.full(len(headers), dose)
    else:
        half_life = half_life_s(item, decisions)
        left = dose * np.exp2(-decay_times(headers, item, half_life, decisions) / half_life)
    return becquerel_per_ml * weight * 1000 / left


def _check_picture(header: Dataset, decisions: list[str]) -> None:
    """Whatever the units: of a transmission, or without attenuation correction, values are no uptake."""
    if text(header, "CountsSource").upper() == "TRANSMISSION":
        raise DicomError(f"{tag_name('CountsSource')} is TRANSMISSION: this is no picture of the tracer")
    listed = _corrections(header)
    if not listed:
        decisions.append("CorrectedImage is missing; attenuation correction taken from Units")
    elif "ATTN" not in listed:
        raise DicomError(
            f"{tag_name('CorrectedImage')} lacks ATTN: not attenuation corrected, its values are no activity; export "
            "the corrected series"
        )


def _check_decay(header: Dataset) -> None:
    """CorrectedImage must not deny what DecayCorrection says."""
    listed = _corrections(header)
    corrected = any(word.startswith("DEC") for word in listed)
    if listed and corrected == (text(header, "DecayCorrection").upper() == "NONE"):
        raise DicomError(
            f"{tag_name('CorrectedImage')} and {tag_name('DecayCorrection')} contradict each other on decay"
        )


def _corrections(header: Dataset) -> list[str]:
    found = header.get("CorrectedImage")
    listed = [] if not found else [found] if isinstance(found, str) else [str(word) for word in found]
    return [word.strip().upper() for word in listed]
