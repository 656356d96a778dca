"""One case of an import: from the series of a patient to a folder of NIfTI files, a picture and a log."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from ..data.checks import find_problem
from ..files import replacing, write_json
from ..inference.overlay import save_overlay
from .errors import DicomError
from .four_d import read_phases
from .import_options import ImportOptions
from .label_sources import MODALITIES, label_sources
from .labels import LabelPlan, make_label, phase_masks, plan_label
from .lung_volume import lung_volume_ml
from .motion_report import (
    measure,
    motion_by_registration,
    motion_of_masks,
    motion_without_contours,
    save_motion_curve,
)
from .pairing import Pair, one_pet, pair, pet_candidates
from .phases import FourD, UnsoundFourD, sort_four_d
from .registration import move_rigidly
from .registration_quality import save_checkerboard
from .series import Series
from .series_choice import choose_series
from .suv import read_suv
from .target_ct import Alignment, Target, align, at_phase, choose_target, phase_image, read_target
from .volume import as_int16

logger = logging.getLogger(__name__)

CT_FILE, PET_FILE, LABEL_FILE = "ct.nii.gz", "pet.nii.gz", "label.nii.gz"
OVERLAY_FILE = "overlay.png"
AVERAGE_FILE, MIP_FILE = "average.nii.gz", "mip.nii.gz"
MOTION_FILE, MOTION_PICTURE = "motion.json", "motion.png"
REGISTRATION_PICTURE = "registration.png"
WRITTEN_FILES = (
    CT_FILE, PET_FILE, LABEL_FILE, OVERLAY_FILE, AVERAGE_FILE, MIP_FILE, MOTION_FILE, MOTION_PICTURE,
    REGISTRATION_PICTURE,
)  # fmt: skip
PET_OUTSIDE_SUV = 0.0


@dataclass(frozen=True)
class DamagedFile:
    """A file that cannot be used, and what its first attributes still say."""

    patient_id: str
    modality: str
    series_uid: str
    words: str


@dataclass(frozen=True)
class CaseWork:
    """What a case is made of.

    Attributes:
        case: name of its folder.
        patient: name of its patient in the datalist; cases of one patient share it.
        patient_id: PatientID.
        study_uid: study of its PET; "" for a patient without PET.
        series: all series of the patient.
        damaged: files of the patient that cannot be used.
    """

    case: str
    patient: str
    patient_id: str
    study_uid: str
    series: tuple[Series, ...]
    damaged: tuple[DamagedFile, ...]


def import_case(work: CaseWork, options: ImportOptions, folder: Path) -> dict:
    """Read, pair, convert and draw one case.

    Args:
        work: the case.
        options: the user's choices.
        folder: empty folder to write into.

    Returns:
        Facts about the case, JSON-ready: sources, decisions, kind of CT and label, volumes.

    Raises:
        DicomError: the case cannot be imported; the text says why and what to do.
    """
    options = options.for_patient(work.patient_id)
    series, decisions = _without_excluded(work.series, options)
    four_d, unsound = _four_d(series, options)
    reasons = [f"4D-CT not used: {one.reason}" for one in unsound]
    decisions += reasons
    with _adding_to_errors(reasons):
        paired, words = _pair(work, series, four_d, unsound, options)
        decisions += words
        target = choose_target(paired, series, four_d, options.target_ct)
        pet_frame = paired.pet.frame_of_reference_uid if paired.pet is not None else ""
        plan, words = _plan(series, target, pet_frame, options)
        decisions += words
    target, words = _of_one_moment(target, plan, paired, options)
    decisions += words
    for one in words:
        logger.warning("case %s: %s", work.case, one)
    _check_whole([*target.series, paired.pet, paired.ct], work.damaged, options.labels)
    image, average, mip, words = read_target(target)
    decisions += [*target.decisions, *(f"CT: {word}" for word in words)]
    alignment = align(target, image, paired, series, options)
    pet, words = _read_pet(paired, alignment)
    decisions += words
    label = None
    if plan is not None:
        label, words = make_label(plan, image, target, alignment, pet_frame)
        decisions += [*plan.decisions, *(f"label: {word}" for word in words)]
    _write_volumes(folder, image, pet, label, average, mip)
    facts = _facts(work, target, paired, plan, image, pet, label)
    if alignment is not None:
        facts["registration"] = alignment.facts
        decisions.append(f"PET {alignment.facts['words']}; {alignment.quality}; moved by its header, not interpolated")
        title = f"{work.case}: target CT and PET's CT in turn, bone Dice {alignment.quality.bone_dice:.2f}"
        save_checkerboard(folder / REGISTRATION_PICTURE, image, alignment.pet_ct, alignment.transform, title)
    if target.four_d is not None:
        facts["motion"] = _report_motion(folder, work.case, target, plan, average)
    _save_picture(folder / OVERLAY_FILE, work.case, target, image, pet, label, facts)
    _check_files(folder, pet is not None, label is not None)
    return facts | {"decisions": decisions}


def _without_excluded(series: tuple[Series, ...], options: ImportOptions) -> tuple[list[Series], list[str]]:
    kept, decisions = list(series), []
    for word in options.excluded:
        try:
            out = choose_series(kept, word, "exclude_series")
        except DicomError:
            continue  # said for all patients, true for some
        decisions += [f"left out by --exclude_series {word!r}: {one.label}" for one in out]
        kept = [one for one in kept if not any(one is other for other in out)]
    return kept, decisions


def _four_d(series: list[Series], options: ImportOptions) -> tuple[list[FourD], list[UnsoundFourD]]:
    """4D-CTs; one that is not sound must not stop a PET/CT that does not need it."""
    four_d, unsound = sort_four_d(series, options.allow_missing_phases)
    if unsound and (options.target_ct not in (None, "") or not any(one.modality == "PT" for one in series)):
        raise DicomError(unsound[0].reason)
    return four_d, unsound


@contextmanager
def _adding_to_errors(reasons: Sequence[str]) -> Iterator[None]:
    """What is not used may be why nothing else fits: an error says it too."""
    try:
        yield
    except DicomError as error:
        raise DicomError("; ".join([str(error), *reasons])) from error


def _pair(
    work: CaseWork,
    series: list[Series],
    four_d: list[FourD],
    unsound: list[UnsoundFourD],
    options: ImportOptions,
) -> tuple[Pair, list[str]]:
    study = [one for one in series if one.modality == "PT" and one.study_uid == work.study_uid]
    pets, decisions = pet_candidates(study, options.pet_series)
    pet = one_pet(pets) if pets else None
    if pet is None:
        decisions.append("no PET: the case is not listed for training or inference")
        named = None if options.target_ct in (None, "") else options.target_ct
        if named is not None and options.ct_series is None:
            # without a PET the target is the CT, whatever else the patient has
            return Pair(None, None, four_d[0] if len(four_d) == 1 else None, ()), decisions
    paired = pair(pet, series, four_d, options.ct_series, unsound)
    return paired, [*decisions, *paired.decisions]


def _plan(
    series: list[Series], target: Target, pet_frame: str, options: ImportOptions
) -> tuple[LabelPlan | None, list[str]]:
    if not options.labels:
        return None, []
    sources, decisions = label_sources(series, options.label_series, options.roi)
    with _adding_to_errors(decisions):
        plan = plan_label(sources, target, pet_frame, series, options) if sources else None
    if plan is None:
        left = "none is left" if decisions else "the patient has none"
        where = "none lies in the frame of reference of the CT or the PET" if sources else left
        decisions.append(f"no label: of RTSTRUCT and DICOM SEG, {where}")
    return plan, decisions


def _of_one_moment(
    target: Target, plan: LabelPlan | None, paired: Pair, options: ImportOptions
) -> tuple[Target, list[str]]:
    """The CT on which a GTV of one phase was drawn, unless the user named another; and what is of different moments."""
    phase = plan.only_phase if plan is not None else None
    words = []
    if phase is not None and target.phase != phase:
        if options.target_ct in (None, ""):
            target = at_phase(target, phase)
        else:
            words.append(f"the GTV is of phase {phase}, the CT of --target_ct is not: they are of different moments")
    if target.phase is not None and paired.pet is not None:
        words.append(
            f"the CT is phase {target.phase}, the PET a mean over the breathing: they are of different moments"
        )
    return target, words


def _check_whole(used: Sequence[Series | None], damaged: Sequence[DamagedFile], labels: bool) -> None:
    """A volume of which a file is damaged may lack its end slice, which no geometry check can see; a damaged
    structure set may be the one that counts.
    """
    names = {one.series_uid: one.label for one in used if one is not None}
    for file in damaged:
        if file.series_uid in names:
            raise DicomError(f"{names[file.series_uid]}: {file.words}")
        if labels and file.modality in MODALITIES:
            raise DicomError(f"{file.modality} {file.words}; without contours: --labels False")


def _read_pet(paired: Pair, alignment: Alignment | None) -> tuple[sitk.Image | None, list[str]]:
    if paired.pet is None:
        return None, []
    pet, words = read_suv(paired.pet)
    if alignment is not None:
        pet = move_rigidly(pet, alignment.transform)
    return pet, [f"PET: {word}" for word in words]


def _write_volumes(folder: Path, image, pet, label, average, mip) -> None:
    _write(folder / CT_FILE, as_int16(image))
    if pet is not None:
        _write(folder / PET_FILE, sitk.Cast(pet, sitk.sitkFloat32))
    if label is not None:
        _write(folder / LABEL_FILE, sitk.Cast(label, sitk.sitkUInt8))
    for name, volume in ((AVERAGE_FILE, average), (MIP_FILE, mip)):
        if volume is not None:
            _write(folder / name, as_int16(volume))


def _write(path: Path, image: sitk.Image) -> None:
    clean = sitk.Image(image)
    for key in clean.GetMetaDataKeys():
        clean.EraseMetaData(key)
    with replacing(path) as temporary:
        sitk.WriteImage(clean, str(temporary), useCompression=True)


def _facts(work: CaseWork, target: Target, paired: Pair, plan: LabelPlan | None, image, pet, label) -> dict:
    facts = {
        "case": work.case,
        "patient_id": work.patient,
        "ct_kind": target.kind,
        "source": {"ct": [_source(one) for one in target.series]},
        "size": list(image.GetSize()),
        "spacing_mm": [round(value, 4) for value in image.GetSpacing()],
    }
    if target.phase is not None:
        facts["phase"] = str(target.phase)
    if target.four_d is not None:
        pairs = zip(target.four_d.names, target.four_d.series, strict=True)
        facts["source"]["phases"] = [{"phase": str(name), **_source(one)} for name, one in pairs]
    if paired.pet is not None:
        facts["source"]["pet"] = _source(paired.pet)
        if paired.ct is not None:
            facts["source"]["pet_ct"] = _source(paired.ct)
        facts["suv_max"] = round(float(sitk.GetArrayViewFromImage(pet).max()), 2)
    if plan is not None:
        facts["source"]["label"] = [
            # no file name: exports call their files after the patient
            {**_source(one.source.series), "sop_instance_uid": one.source.sop_instance_uid, "roi": list(one.names)}
            for one in plan.chosen
        ]
        facts["label_kind"] = plan.kind
        facts["label_ml"] = round(measure(label)[0], 3)
        if pet is not None:
            facts["suv_max_in_label"] = _suv_max_in(label, pet)
    return facts


def _source(series: Series) -> dict:
    """What finds a series again in the archive."""
    source = {
        "modality": series.modality,
        "series_uid": series.series_uid,
        "study_uid": series.study_uid,
        "frame_of_reference_uid": series.frame_of_reference_uid,
        "description": series.description,
        "files": len(series.files),
    }
    return source | ({"part": series.part} if series.part else {})


def _suv_max_in(label: sitk.Image, pet: sitk.Image) -> float | None:
    inside = sitk.GetArrayViewFromImage(label) != 0
    values = sitk.GetArrayViewFromImage(_onto(pet, label))[inside]
    return round(float(values.max()), 2) if values.size else None


def _onto(pet: sitk.Image, image: sitk.Image) -> sitk.Image:
    return sitk.Resample(pet, image, sitk.Transform(), sitk.sitkLinear, PET_OUTSIDE_SUV, sitk.sitkFloat32)


def _report_motion(folder: Path, case: str, target: Target, plan: LabelPlan | None, average: sitk.Image) -> dict:
    """Write the motion report and its curve; return the report."""
    per_phase = plan.per_phase if plan is not None else {}
    frame = target.four_d.frame_of_reference_uid
    lungs = []

    def phases():
        for name, image, _ in read_phases(target.four_d):
            lungs.append(lung_volume_ml(image))
            yield name, image

    if len(per_phase) > 1:
        report = motion_of_masks(phase_masks(plan, average, frame))
        if len(per_phase) == len(target.four_d.names):
            list(phases())
    elif per_phase:
        ((name, mask),) = phase_masks(plan, average, frame).items()
        report = motion_by_registration(phases(), phase_image(target, name), mask, name)
    else:
        report = motion_without_contours(target.four_d.names)
        list(phases())
    if lungs and None not in lungs:
        for row, volume in zip(report["phases"], lungs, strict=True):
            row["lung_volume_ml"] = volume
    report |= {"spacing_mm": [round(value, 4) for value in average.GetSpacing()]}
    write_json(folder / MOTION_FILE, {"case": case, **report})
    if len(report["phases"][0]) > 1:
        save_motion_curve(folder / MOTION_PICTURE, report, f"{case}: motion over {len(report['phases'])} phases")
    return report


def _save_picture(path: Path, case: str, target: Target, image, pet, label, facts: dict) -> None:
    volumes = {"ct": image, "pet": None if pet is None else _onto(pet, image), "label": label}
    arrays = {
        # axes towards right, anterior, superior; (x, y, z)
        key: sitk.GetArrayFromImage(sitk.DICOMOrient(volume, "RAS")).transpose(2, 1, 0)
        for key, volume in volumes.items()
        if volume is not None
    }
    spacing = sitk.DICOMOrient(image, "RAS").GetSpacing()
    masks = {f"{facts['label_kind'].upper()} (label)": arrays["label"]} if label is not None else {}
    kind = target.kind if target.phase is None else f"phase {target.phase}"
    save_overlay(path, arrays["ct"], arrays.get("pet"), masks, spacing, f"{case}, CT: {kind}")


def _check_files(folder: Path, pet: bool, label: bool) -> None:
    """The checks that training makes, at once."""
    if not pet:
        return
    case = {"ct": str(folder / CT_FILE), "pet": str(folder / PET_FILE)}
    if label:
        case["label"] = str(folder / LABEL_FILE)
    problem = find_problem(case, need_label=False)
    if problem is not None:
        raise DicomError(problem.replace(f"{folder}/", ""))
