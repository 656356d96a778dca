"""The CT that contours belong on: the PET's own, a planning CT of another frame, or one made of a 4D-CT."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

from ..configuration.one_text import one_text
from .ct_kind import AVERAGE, MIP, PHASE, ct_kind
from .errors import DicomError
from .four_d import average_and_mip, read_phase
from .pairing import Pair
from .phases import FourD, PhaseName, phase_in_text
from .reg_reader import find_registration
from .registration import describe, register_rigidly
from .registration_quality import Quality, alignment_quality, check_quality
from .series import Series
from .series_choice import choose_series, listing, series_at
from .volume import read_volume

logger = logging.getLogger(__name__)

_PROJECTIONS = {"average": AVERAGE, "aip": AVERAGE, "avg": AVERAGE, "mip": MIP}


@dataclass(frozen=True)
class Target:
    """The CT of a case.

    Attributes:
        series: what it is, or was made of.
        four_d: the 4D-CT that it was made of, or that lies in its frame of reference.
        kind: "free breathing", "average", "MIP" or "phase".
        phase: of the 4D-CT, where the kind is "phase".
        made: whether it is the mean or maximum over the phases of `four_d`.
        decisions: words for the log.
    """

    series: tuple[Series, ...]
    four_d: FourD | None
    kind: str
    phase: PhaseName | None = None
    made: bool = False
    decisions: tuple[str, ...] = ()

    @property
    def frame_of_reference_uid(self) -> str:
        return self.series[0].frame_of_reference_uid


@dataclass(frozen=True)
class Alignment:
    """How the PET got into the target's frame of reference.

    Attributes:
        transform: rigid, from points of the target's frame to points of the PET's (LPS, mm).
        method: "DICOM REG" or "rigid registration".
        quality: agreement of the two CTs.
        facts: JSON-ready.
        pet_ct: the PET's CT in HU, which was compared, in its own frame.
    """

    transform: sitk.Euler3DTransform
    method: str
    quality: Quality
    facts: dict
    pet_ct: sitk.Image


def choose_target(
    pair: Pair, series: Sequence[Series], four_d: Sequence[FourD], target_ct: str | None = None
) -> Target:
    """The target CT of a case.

    Args:
        pair: PET and its CT.
        series: all series of the patient.
        four_d: its 4D-CTs.
        target_ct: None: the PET's CT, or the average of the 4D-CT where that is all there is (`at_phase` comes later,
            when the contours are known). Else "average" or "MIP" (made of the 4D-CT), a phase such as "50%", a series
            UID, a (part of a) description, or a folder.

    Raises:
        DicomError: the user's word fits no CT, or several.
    """
    if target_ct in (None, ""):
        if pair.ct is not None:
            return _of_series(pair.ct, [pair.four_d] if pair.four_d is not None else [])
        return _made(pair.four_d, AVERAGE, ("the 4D-CT is the only CT: its average is the target (--target_ct)",))
    word = one_text(target_ct).strip()
    cts = [one for one in series if one.modality == "CT"]
    folder = series_at(word, cts) if Path(word).is_dir() else None
    if folder is not None:
        return _of_series(folder, four_d)
    if word.lower() in _PROJECTIONS:
        return _projection(_PROJECTIONS[word.lower()], pair, cts, four_d)
    name = phase_in_text(word if "%" in word or not word.isdigit() else f"{word}%")
    if name is not None:
        return _phase(name, pair, four_d)
    found = choose_series(cts, word, "target_ct")
    if len(found) > 1:
        raise DicomError(f"--target_ct {word!r} fits {len(found)} CT series: {listing(found)}; give a UID")
    return _of_series(found[0], four_d)


def read_target(target: Target) -> tuple[sitk.Image, sitk.Image | None, sitk.Image | None, list[str]]:
    """The target's image, and average and MIP of its 4D-CT where it has one.

    Returns:
        Target, average and MIP in HU (the last two None without a 4D-CT), and the decisions of reading.
    """
    decisions: list[str] = []
    average = mip = None
    if target.four_d is not None:
        average, mip, decisions = average_and_mip(target.four_d)
    if target.made:
        return (average if target.kind == AVERAGE else mip), average, mip, decisions
    image, words = read_volume(target.series[0])
    return image, average, mip, [*words, *decisions]


def align(target: Target, image: sitk.Image, pair: Pair, series: Sequence[Series], options) -> Alignment | None:
    """Find where the target lies in the PET's frame of reference.

    Args:
        target: the target CT.
        image: its voxels, HU.
        pair: PET and its CT.
        series: all series of the patient, for a REG.
        options: `reg_series` and `least_bone_dice` are used.

    Returns:
        None where both share a frame of reference, or there is no PET.

    Raises:
        DicomError: the two CTs do not fit each other: another patient, or a wrong registration.
    """
    pet_frame = pair.pet.frame_of_reference_uid if pair.pet is not None else ""
    own = pair.pet is None or target.frame_of_reference_uid == pet_frame != ""
    if own or (pair.ct is not None and target.series == (pair.ct,)):
        return None
    if pair.ct is not None:
        pet_ct = read_volume(pair.ct)[0]
    else:
        pet_ct = average_and_mip(pair.four_d)[0]
    transform, words = find_registration(series, target.frame_of_reference_uid, pet_frame, options.reg_series)
    method = "DICOM REG"
    if transform is None:
        method = "rigid registration"
        transform = register_rigidly(image, pet_ct)
        words = f"{words}: registered rigidly"
    quality = alignment_quality(image, pet_ct, transform)
    logger.info("alignment by %s: %s", method, quality)
    check_quality(quality, method, options.least_bone_dice)
    middle = image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])
    facts = {"method": method, "words": words, **describe(transform, middle), "quality": quality.as_dict()}
    return Alignment(transform, method, quality, facts, pet_ct)


def at_phase(target: Target, name: PhaseName) -> Target:
    """The same case on one phase of its 4D-CT."""
    series = target.four_d.series[target.four_d.names.index(name)]
    words = f"target is phase {name} instead, the only one with a contour; --target_ct names another CT"
    decisions = tuple(dict.fromkeys((*target.decisions, *target.four_d.decisions, words)))
    return replace(target, series=(series,), kind=PHASE, phase=name, made=False, decisions=decisions)


def phase_image(target: Target, name: PhaseName) -> sitk.Image:
    """One phase of the target's 4D-CT, HU."""
    return read_phase(target.four_d, name)


def _single(series: Series, four_d: FourD | None) -> Target:
    kind, words = ct_kind(series)
    return Target((series,), four_d, kind, decisions=(f"{series.label}: {words}",))


def _made(four_d: FourD, kind: str, words: tuple[str, ...]) -> Target:
    decisions = (*words, *four_d.decisions, f"target is the {kind} of {len(four_d.names)} phases, made here")
    return Target(four_d.series, four_d, kind, made=True, decisions=decisions)


def _of_series(series: Series, four_d: Sequence[FourD]) -> Target:
    """A CT that the user named: perhaps a phase, perhaps beside a 4D-CT of its frame of reference."""
    own = next((one for one in four_d if series in one.series), None)
    if own is not None:
        name = own.names[own.series.index(series)]
        return Target((series,), own, PHASE, name, decisions=(*own.decisions, f"target is phase {name}"))
    same = [one for one in four_d if one.frame_of_reference_uid == series.frame_of_reference_uid]
    return _single(series, same[0] if len(same) == 1 else None)


def _projection(kind: str, pair: Pair, cts: Sequence[Series], four_d: Sequence[FourD]) -> Target:
    if four_d:
        return _made(_only(pair, four_d, kind), kind, ())
    found = [one for one in cts if ct_kind(one)[0] == kind]
    if len(found) != 1:
        raise DicomError(
            f"--target_ct {kind}: there is no 4D-CT to make it of, and {len(found)} CT series are called so: "
            f"{listing(found or cts)}; give a series UID"
        )
    return _of_series(found[0], four_d)


def _phase(name: PhaseName, pair: Pair, four_d: Sequence[FourD]) -> Target:
    if not four_d:
        raise DicomError(f"--target_ct asks for phase {name}, but the patient has no 4D-CT")
    own = _only(pair, four_d, f"phase {name}")
    own_name = own.own_name(name)
    if own_name is None:
        raise DicomError(f"--target_ct asks for phase {name}; there are: {', '.join(map(str, own.names))}")
    return _of_series(own.series[own.names.index(own_name)], four_d)


def _only(pair: Pair, four_d: Sequence[FourD], what: str) -> FourD:
    """The 4D-CT of the PET's frame of reference, else the only one."""
    if pair.four_d is not None:
        return pair.four_d
    if len(four_d) > 1:
        raise DicomError(
            f"--target_ct asks for {what}, and there are {len(four_d)} 4D-CTs "
            f"({listing([one.series[0] for one in four_d])}); leave one out with --exclude_series"
        )
    return four_d[0]
