"""Which CT belongs to which PET: by study and frame of reference, kind of image, and overlap in space."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .ct_kind import is_projection
from .errors import DicomError
from .phases import FourD, UnsoundFourD
from .series import Series
from .series_choice import choose_series, listing

# Fewer slices are a scout, a planning aid or a failed scan, not a volume to draw on.
FEWEST_SLICES = 3
# A normal this far from the body's axis is a coronal or sagittal reformat.
AXIAL_COSINE = 0.8
# CTs whose cover of the PET differs by less than this are equally good.
SAME_COVER = 0.02
LEAST_COVER = 0.05
_NOT_CORRECTED = re.compile(r"(?<![a-z])(nac|non?[ _-]?ac|uncorrected|non?[ _-]?att?n?)(?![a-z])", re.IGNORECASE)
_SUV_UNITS = ("BQML", "GML", "CM2ML", "CNTS")
_REFORMATTED = {"LOCALIZER", "MPR", "REFORMATTED", "PROJECTION IMAGE", "SCREEN SAVE", "CSAMANIP", "VRT", "SSD", "MIP"}


@dataclass(frozen=True)
class Pair:
    """A PET and the CT of its frame of reference.

    Attributes:
        pet: None for a patient without PET.
        ct: CT in the PET's frame of reference; None where only a 4D-CT lies there.
        four_d: the 4D-CT of that frame of reference, or None.
        decisions: why these, in words.
    """

    pet: Series | None
    ct: Series | None
    four_d: FourD | None
    decisions: tuple[str, ...]


def pet_candidates(series: Sequence[Series], pet_series: str | None = None) -> tuple[list[Series], list[str]]:
    """PETs to be imported, at most one per study is right; attenuation-corrected, axial, original ones win.

    Args:
        series: series of one patient.
        pet_series: the user's choice, UID or (part of) the description.

    Returns:
        The PETs left (several in one study are for `one_pet` to refuse), and the decisions.

    Raises:
        DicomError: `pet_series` fits none.
    """
    pets = [one for one in series if one.modality == "PT"]
    if pet_series and pets:
        chosen = choose_series(pets, pet_series, "pet_series")
        return chosen, [f"PET chosen by --pet_series {pet_series!r}"]
    decisions: list[str] = []
    if not pets:
        return [], decisions
    pets = _must(pets, is_axial_volume, "not an axial volume", decisions)
    # what is not corrected for attenuation shows hot skin and pale tumours: never taken unasked
    pets = _must(pets, is_attenuation_corrected, "not corrected for attenuation", decisions)
    by_study = {}
    for one in pets:
        by_study.setdefault(one.study_uid, []).append(one)
    kept = []
    for members in by_study.values():
        members = _prefer(members, lambda one: _units(one) in _SUV_UNITS, "in no unit that leads to SUV", decisions)
        members = _prefer(members, lambda one: not _reformatted(one), "a reformat or projection", decisions)
        kept += _prefer(members, lambda one: "DERIVED" not in image_type(one), "derived", decisions)
    return kept, decisions


def one_pet(pets: Sequence[Series]) -> Series:
    """The PET of a study.

    Raises:
        DicomError: there are several.
    """
    if len(pets) > 1:
        raise DicomError(
            f"{len(pets)} PET series fit: {listing(pets)}; choose one with --pet_series, by its UID or a part of its "
            "description"
        )
    return pets[0]


def pair(
    pet: Series | None,
    series: Sequence[Series],
    four_d: Sequence[FourD],
    ct_series: str | None = None,
    unsound: Sequence[UnsoundFourD] = (),
) -> Pair:
    """The CT for a PET, or the CT of a patient without PET.

    Args:
        pet: from `one_pet`.
        series: series of the patient.
        four_d: its 4D-CTs; their phases are no candidates of their own.
        ct_series: the user's choice, UID or (part of) the description.
        unsound: 4D-CTs that cannot be used; their phases are candidates only where `ct_series` names them.

    Returns:
        The pair; without a candidate of its own the 4D-CT of the same frame of reference serves.

    Raises:
        DicomError: no CT fits, or several do.
    """
    decisions: list[str] = []
    cts = [one for one in series if one.modality == "CT"]
    if pet is not None:
        same_frame = [one for one in cts if _same_frame(one, pet)]
        if not same_frame:
            raise DicomError(
                f"no CT lies in the frame of reference of {pet.label}; found: {listing(cts)}; export the CT of the "
                "PET/CT too"
            )
        same_study = [one for one in same_frame if one.study_uid == pet.study_uid]
        if not same_study:
            decisions.append("the CT is of another study than the PET, but of the same frame of reference")
        cts = same_study or same_frame
    if ct_series:
        cts = choose_series(cts, ct_series, "ct_series")
        decisions.append(f"CT chosen by --ct_series {ct_series!r}")
    own_four_d = [one for one in four_d if any(member in cts for member in one.series)]
    if len(own_four_d) > 1:
        found = "; ".join(one.series[0].label for one in own_four_d)
        raise DicomError(
            f"{len(own_four_d)} 4D-CTs fit, starting with {found}; choose one with --ct_series, or leave the other "
            "out with --exclude_series"
        )
    phases = {id(member) for one in four_d for member in one.series}
    if not ct_series:
        useless = {id(member) for one in unsound for member in one.series}
        out = sum(id(one) in useless for one in cts)
        decisions += [f"left out, {out} series of a 4D-CT that cannot be used"] if out else []
        cts = [one for one in cts if id(one) not in phases | useless]
        cts = _still_candidates(cts, bool(own_four_d), decisions)
    elif own_four_d and len(cts) > 1 and all(id(one) in phases for one in cts):
        cts = []
    chosen = _best_cover(cts, pet, decisions) if cts else None
    if chosen is None and not own_four_d:
        raise DicomError(f"no CT of the patient can be used: {'; '.join(decisions) or 'there is none'}")
    return Pair(pet, chosen, own_four_d[0] if own_four_d else None, tuple(decisions))


def is_axial_volume(series: Series) -> bool:
    """Several slices across the body's axis."""
    normal = _normal(series)
    return len(series.files) >= FEWEST_SLICES and normal is not None and abs(normal[2]) >= AXIAL_COSINE


def is_attenuation_corrected(series: Series) -> bool:
    """By CorrectedImage, the method, and the description, which is right where a header copied from another is not."""
    if _NOT_CORRECTED.search(series.description.replace("_", " ")):
        return False
    header = series.headers[0]
    corrections = header.get("CorrectedImage")
    if corrections in (None, ""):
        return bool(header.get("AttenuationCorrectionMethod")) or _units(series) in ("GML", "CM2ML")
    return "ATTN" in ([corrections] if isinstance(corrections, str) else list(corrections))


def image_type(series: Series) -> list[str]:
    """Values of ImageType in capitals."""
    value = series.headers[0].get("ImageType") or ()
    return [str(one).upper() for one in ([value] if isinstance(value, str) else value)]


def cover(ct: Series, pet: Series) -> float:
    """Share of the PET's height that the CT covers along the body's axis, 0 to 1."""
    (low, high), (pet_low, pet_high) = (_extent(one) for one in (ct, pet))
    return float(np.clip((min(high, pet_high) - max(low, pet_low)) / max(pet_high - pet_low, 1e-6), 0, 1))


def _still_candidates(cts: list[Series], may_be_empty: bool, decisions: list[str]) -> list[Series]:
    """CTs that are volumes of anatomy; originals before what was derived from them."""
    rules: tuple[tuple[Callable[[Series], bool], str], ...] = (
        (is_axial_volume, "not an axial volume"),
        (lambda one: not is_projection(one), "a minimum-intensity projection"),
        (lambda one: not _reformatted(one), "a reformat or projection"),
    )
    for rule, why in rules:
        kept = [one for one in cts if rule(one)]
        decisions.extend(f"left out, {why}: {one.label}" for one in cts if one not in kept)
        cts = kept
    if may_be_empty:
        # averages and projections that the scanner made of the phases: they are made anew, or asked for by name
        cts = _prefer_or_none(cts, lambda one: "DERIVED" not in image_type(one), "derived from the 4D-CT", decisions)
        return cts
    return _prefer(cts, lambda one: "DERIVED" not in image_type(one), "derived", decisions)


def _best_cover(cts: list[Series], pet: Series | None, decisions: list[str]) -> Series:
    if pet is not None:
        shares = [cover(one, pet) for one in cts]
        best = max(shares)
        if best < LEAST_COVER:
            raise DicomError(f"no CT overlaps with {pet.label}: {listing(cts)}; export the CT of the PET/CT")
        for one, share in zip(cts, shares, strict=True):
            if share < best - SAME_COVER:
                decisions.append(f"left out, covers {share:.0%} of the PET's height, not {best:.0%}: {one.label}")
        cts = [one for one, share in zip(cts, shares, strict=True) if share >= best - SAME_COVER]
    if len(cts) > 1:
        raise DicomError(
            f"{len(cts)} CT series fit: {listing(cts)}; choose one with --ct_series, by its UID or a part of its "
            "description"
        )
    if pet is not None:
        decisions.append(f"{cts[0].label} covers {cover(cts[0], pet):.0%} of the height of {pet.label}")
    return cts[0]


def _must(members: list[Series], rule: Callable[[Series], bool], why: str, decisions: list[str]) -> list[Series]:
    kept = [one for one in members if rule(one)]
    decisions.extend(f"left out, {why}: {one.label}" for one in members if one not in kept)
    if members and not kept:
        raise DicomError(
            f"no PET can be used, {why}: {listing(members)}; export the corrected series, or choose one with "
            "--pet_series"
        )
    return kept


def _prefer(members: list[Series], rule: Callable[[Series], bool], why: str, decisions: list[str]) -> list[Series]:
    """Members that keep to the rule, or all where none does."""
    return _prefer_or_none(members, rule, why, decisions) if any(map(rule, members)) else members


def _prefer_or_none(members: list[Series], rule: Callable[[Series], bool], why: str, decisions: list[str]):
    kept = [one for one in members if rule(one)]
    decisions.extend(f"left out, {why}: {one.label}" for one in members if one not in kept)
    return kept


def _same_frame(one: Series, other: Series) -> bool:
    if not one.frame_of_reference_uid or not other.frame_of_reference_uid:
        return one.study_uid == other.study_uid
    return one.frame_of_reference_uid == other.frame_of_reference_uid


def _reformatted(series: Series) -> bool:
    return bool(_REFORMATTED.intersection(image_type(series)))


def _units(series: Series) -> str:
    return str(series.headers[0].get("Units") or "").upper()


def _normal(series: Series) -> np.ndarray | None:
    try:
        cosines = np.array(series.headers[0].get("ImageOrientationPatient") or (), dtype=float)
    except (TypeError, ValueError):
        return None
    return np.cross(cosines[:3], cosines[3:]) if cosines.shape == (6,) else None


def _extent(series: Series) -> tuple[float, float]:
    """Lowest and highest slice along the body's axis in mm, patient coordinates."""
    heights = [float(header.ImagePositionPatient[2]) for header in series.headers if header.get("ImagePositionPatient")]
    return min(heights, default=0.0), max(heights, default=0.0)
