"""One phantom patient from a seed: CT, PET, label, per-phase truth and what is known about them."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np

from ..configuration.whole_numbers import whole_number
from .anatomy import Anatomy, draw_anatomy
from .ct_physics import CtTiming, add_ct_noise, render_ct, time_slices
from .distractors import Distractor, draw_distractors
from .grid import Grid
from .motion import Breathing, Excursion, phase_centres
from .pet_physics import add_pet_noise, attenuation_error, blur, render_uptake
from .settings import CT_KINDS, PhantomSettings
from .tumour import Tumour, draw_breathing, draw_tumour, map_lungs

FIELD_MARGIN_MM = 10.0
FIELD_JITTER_MM = 40.0
# what a picture may reach: so far below the top of the diaphragm and above the apex of the lungs
FIELD_BELOW_MM, FIELD_ABOVE_MM = 70.0, 30.0


@dataclass(frozen=True)
class Case:
    """A phantom patient; all volumes have axis order (X, Y, Z) towards R, A, S.

    Args:
        case_id: pseudonym, task and number.
        ct: int16 HU on `grid`.
        pet: float32 SUVbw (g/ml) on `pet_grid`.
        label: uint8, 1 in the target, on `grid`.
        phases: uint16 on `grid`; bit p is set where the tumour is in phase p (0: full inhale).
        grid, pet_grid: their geometries.
        metadata: plain values for JSON.
    """

    case_id: str
    ct: np.ndarray
    pet: np.ndarray
    label: np.ndarray
    phases: np.ndarray
    grid: Grid
    pet_grid: Grid
    metadata: dict


@dataclass(frozen=True)
class Patient:
    """Everything drawn for a case before any image is made."""

    anatomy: Anatomy
    breathing: Breathing
    diaphragm: Excursion
    tumour: Tumour
    distractors: list[Distractor]


def stream(seed: int, settings: PhantomSettings, index: int, purpose: str) -> np.random.Generator:
    """Random generator of one purpose of one case: the same whatever else was drawn before.

    The task is part of it, so that pre-training and fine-tuning never share a patient.
    """
    digest = hashlib.sha256(f"{seed}/{settings.task}/{index}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], np.uint32))


def case_name(task: str, index: int) -> str:
    """Pseudonym of a case and name of its folder."""
    return f"{task}_{index:05d}"


def make_case(seed: int, index: int, settings: PhantomSettings) -> Case:
    """Make one case.

    Args:
        seed: seed of the data set, >= 0.
        index: number of the case, >= 0.
        settings: everything else.

    Returns:
        The case: a function of the three arguments alone.
    """
    for name, value in (("seed", seed), ("index", index)):
        whole_number(name, value, 0)
    patient = draw_patient(seed, index, settings)
    grid = place_field(stream(seed, settings, index, "field"), settings, patient)
    timing = _draw_timing(stream(seed, settings, index, "ct timing"), settings, grid, patient.breathing)
    ct = _make_ct(stream(seed, settings, index, "ct"), settings, grid, patient, timing)
    pet, pet_grid, pet_facts = _make_pet(stream(seed, settings, index, "pet"), settings, grid, patient, timing)
    phases = phase_truth(grid, patient.tumour, patient.breathing, settings.num_phases)
    if settings.task == "igtv":
        label = (phases > 0).astype(np.uint8)
    else:
        label = truth_at(grid, patient.tumour, patient.breathing, timing.phases[0]).astype(np.uint8)
    metadata = {"seed": int(seed), "index": int(index), "phantom": True, "task": settings.task}
    metadata |= describe(patient, grid, label, phases, settings.num_phases)
    metadata |= {"ct_kind": timing.kind, "ct_phase_at_tumour": _phase_at_tumour(grid, timing, patient.tumour)}
    return Case(case_name(settings.task, index), ct, pet, label, phases, grid, pet_grid, metadata | pet_facts)


def draw_patient(seed: int, index: int, settings: PhantomSettings) -> Patient:
    """Anatomy, breathing, tumour and distractors of a case."""
    anatomy = draw_anatomy(stream(seed, settings, index, "anatomy"), settings.distractors)
    lungs = map_lungs(anatomy)
    rng = stream(seed, settings, index, "tumour")
    breathing = draw_breathing(rng)
    tumour = draw_tumour(rng, settings, lungs, anatomy)
    si = tumour.excursion.si_mm
    # lung tissue moves at most as far as the diaphragm below it
    diaphragm = Excursion(
        si_mm=float(max(1.1 * si, min(12.0 * np.exp(rng.normal(0.0, 0.3)), 2.0 * settings.amplitude_cap_mm))),
        drift_share=1.0,
    )
    rng = stream(seed, settings, index, "distractors")
    distractors = draw_distractors(rng, settings, anatomy, lungs, tumour, diaphragm.si_mm)
    return Patient(anatomy, breathing, diaphragm, tumour, distractors)


def place_field(rng: np.random.Generator, settings: PhantomSettings, patient: Patient) -> Grid:
    """CT grid that holds the whole path of the tumour, which lies anywhere along z."""
    extent = settings.image_size[2] * settings.spacing_mm[2]
    lesion, si = patient.tumour.lesion, patient.tumour.excursion.si_mm
    middle = lesion.centre_mm[2] - si / 2
    slack = max(extent / 2 - lesion.reach_mm - si / 2 - FIELD_MARGIN_MM, 0.0)
    centre = middle + rng.uniform(-1.0, 1.0) * min(slack, FIELD_JITTER_MM)
    low, high = -FIELD_BELOW_MM + extent / 2, patient.anatomy.apex_mm + FIELD_ABOVE_MM - extent / 2
    centre = (low + high) / 2 if low > high else float(np.clip(centre, low, high))
    offset = rng.uniform(-4.0, 4.0, 2)
    return Grid.centred((offset[0], offset[1], centre), settings.spacing_mm, settings.image_size)


def _draw_timing(rng, settings: PhantomSettings, grid: Grid, breathing: Breathing) -> CtTiming:
    shares = np.asarray(settings.ct_kind_shares)
    kind = str(rng.choice(CT_KINDS, p=shares / shares.sum()))
    return time_slices(kind, grid, breathing, float(rng.uniform()), settings.num_phases)


def _make_ct(rng, settings: PhantomSettings, grid: Grid, patient: Patient, timing: CtTiming) -> np.ndarray:
    p = patient
    clean = render_ct(grid, p.anatomy, p.breathing, p.diaphragm, p.tumour, p.distractors, timing)
    return add_ct_noise(clean, float(rng.uniform(*settings.ct_noise_hu)), rng)


def _make_pet(rng, settings: PhantomSettings, grid: Grid, patient: Patient, timing: CtTiming):
    """PET on its own grid, which covers the CT's: array, grid and what to record about it."""
    p = patient
    trace = p.breathing.trace(settings.pet_cycles, settings.pet_samples_per_cycle, rng)
    limit = settings.misregistration_mm
    shift = np.clip(rng.normal(0.0, (0.2 * limit, 0.2 * limit, 0.4 * limit)), -limit, limit)
    extent = np.asarray(grid.shape) * grid.spacing_mm
    centre = np.asarray(grid.origin_mm) + (np.asarray(grid.shape) - 1) / 2 * grid.spacing_mm
    shape = np.ceil(extent / settings.pet_spacing_mm).astype(int)
    pet_grid = Grid.centred(centre, settings.pet_spacing_mm, shape)
    # what the PET shows at a place is the anatomy a little beside it
    seen = pet_grid.shifted(-shift)
    uptake = render_uptake(seen, p.anatomy, p.breathing, p.diaphragm, p.tumour, p.distractors, trace)
    fwhm = float(rng.uniform(*settings.pet_fwhm_mm))
    dome_slice = int(np.clip(round((0.0 - grid.origin_mm[2]) / grid.spacing_mm[2]), 0, grid.shape[2] - 1))
    error = attenuation_error(seen, p.anatomy, p.breathing, p.diaphragm, trace, timing.phases[:, dome_slice])
    variation = float(rng.uniform(*settings.pet_noise))
    pet = add_pet_noise(blur(uptake, fwhm, seen.spacing_mm) * error, variation, rng).astype(np.float32)
    facts = {"pet_fwhm_mm": fwhm, "pet_noise": variation, "misregistration_mm": [float(v) for v in shift]}
    return pet, pet_grid, facts


def truth_at(grid: Grid, tumour: Tumour, breathing: Breathing, phase) -> np.ndarray:
    """Where the tumour is: voxel centres inside its surface, bool (X, Y, Z).

    Args:
        grid: where to look.
        tumour: body and path.
        breathing: the mean cycle.
        phase: breathing phase, one number or one for each slice (Z,).
    """
    x, y, z = grid.axes()
    moved = tumour.excursion.displacement(breathing, np.broadcast_to(phase, grid.shape[2])).astype(np.float32)
    low, high = (np.asarray(tumour.lesion.centre_mm) + d for d in (moved.min(axis=0), moved.max(axis=0)))
    _, index_range = grid.box(low - tumour.lesion.reach_mm, high + tumour.lesion.reach_mm)
    mask = np.zeros(grid.shape, bool)
    overlap = grid.clip_box(index_range)
    if overlap is not None:
        (i, j, k), _ = overlap
        dx, dy, dz = (moved[None, None, k, axis] for axis in range(3))
        mask[i, j, k] = tumour.lesion.contains(x[i] - dx, y[:, j] - dy, z[:, :, k] - dz)
    return mask


def phase_truth(grid: Grid, tumour: Tumour, breathing: Breathing, num_phases: int) -> np.ndarray:
    """Bit mask of the phases in which each voxel is tumour, uint16 (X, Y, Z)."""
    bits = np.zeros(grid.shape, np.uint16)
    for number, phase in enumerate(phase_centres(num_phases)):
        bits[truth_at(grid, tumour, breathing, phase)] |= np.uint16(1 << number)
    return bits


def unpack_phases(bits: np.ndarray, num_phases: int) -> np.ndarray:
    """Masks of the single phases from the bit mask, bool (num_phases, X, Y, Z)."""
    return np.stack([(bits >> number) & 1 for number in range(num_phases)]).astype(bool)


def _phase_at_tumour(grid: Grid, timing: CtTiming, tumour: Tumour) -> float | None:
    if timing.kind == "average":
        return None
    row = round((tumour.lesion.centre_mm[2] - grid.origin_mm[2]) / grid.spacing_mm[2])
    return float(timing.phases[0, int(np.clip(row, 0, grid.shape[2] - 1))])


def describe(patient: Patient, grid: Grid, label: np.ndarray, phases: np.ndarray, num_phases: int) -> dict:
    """What is known about a case, as plain values."""
    tumour, lesion = patient.tumour, patient.tumour.lesion
    volumes = [float(v.sum() * grid.voxel_volume_ml) for v in unpack_phases(phases, num_phases)]
    path = tumour.excursion.displacement(patient.breathing, phase_centres(num_phases))
    return {
        "lobe": tumour.lobe,
        "site": tumour.site,
        "kind": tumour.kind,
        "diameter_mm": tumour.diameter_mm,
        "tumour_suv": lesion.suv,
        "tumour_centre_mm": list(lesion.centre_mm),
        "breathing": asdict(patient.breathing),
        "excursion": asdict(tumour.excursion),
        "diaphragm_si_mm": patient.diaphragm.si_mm,
        "phase_displacement_mm": path.round(4).tolist(),
        "phase_volume_ml": volumes,
        "label_volume_ml": float(label.sum() * grid.voxel_volume_ml),
        "distractors": [
            {"name": d.lesion.name, "centre_mm": [float(c) for c in d.lesion.centre_mm], "suv": float(d.lesion.suv)}
            for d in patient.distractors
        ],
        "atelectasis": bool(patient.anatomy.atelectasis_side),
    }
