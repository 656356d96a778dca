"""An IGTV case out of a real PET/CT with GTV: the patient breathes, the images are taken again, the union is known."""

import hashlib
import math
from dataclasses import asdict, dataclass

import numpy as np

from .breathing_settings import BREATHING_CT_KINDS, BreathingSettings
from .case import Case, unpack_phases
from .ct_physics import time_slices
from .grid import Grid
from .lost_noise import restore_ct_noise, restore_pet_noise
from .motion import Breathing, Excursion, phase_centres
from .moving_target import MovingTarget
from .pet_physics import blur
from .source_case import BadSourceError, SourceCase
from .tissue_motion import TissueMotion, build_tissue_motion
from .tumour import draw_breathing

# displacements of the PET that lie in a cube of this side are replaced by their mean
DWELL_CUBE_MM = 1.0
SMALLEST_FIELD_SLICES = 3
ROUNDING = 1e-4  # of a voxel, between two grids that mean the same place
FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


@dataclass(frozen=True)
class Breath:
    """Everything drawn for a case.

    Args:
        breathing, excursion: how the patient breathes and how far the tumour goes.
        reference_phase: phase that the source images are taken for.
        ct_kind, ct_phase: how the CT is taken; the phase, for a helical CT that of the lowest slice.
        trace_mm: displacement of the tumour from its place in the source images during the PET, (T, 3).
    """

    breathing: Breathing
    excursion: Excursion
    reference_phase: float
    ct_kind: str
    ct_phase: float
    trace_mm: np.ndarray

    def displacement(self, phase) -> np.ndarray:
        """Displacement (..., 3) in mm from the place in the source images at phases of the mean breath."""
        still = self.excursion.displacement(self.breathing, self.reference_phase)
        return self.excursion.displacement(self.breathing, phase) - still


def stream(seed: int, case: str, cycle: int, purpose: str) -> np.random.Generator:
    """Random generator of one purpose of one cycle: the same whatever other cases and cycles are made."""
    digest = hashlib.sha256(f"breathing/{seed}/{case}/{cycle}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], np.uint32))


def draw_breath(seed: int, case: str, cycle: int, settings: BreathingSettings) -> Breath:
    """Breathing, path of the tumour and moment of the CT of one cycle."""
    rng = stream(seed, case, cycle, "breath")
    breathing = draw_breathing(rng)
    excursion = _draw_excursion(rng, settings)
    reference = float(rng.uniform()) if settings.reference_phase is None else float(settings.reference_phase)
    shares = np.asarray(settings.ct_kind_shares)
    kind = str(rng.choice(BREATHING_CT_KINDS, p=shares / shares.sum()))
    phase = float(rng.uniform())
    trace = breathing.trace(settings.pet_cycles, settings.pet_samples_per_cycle, stream(seed, case, cycle, "trace"))
    still = excursion.displacement(breathing, reference)
    return Breath(breathing, excursion, reference, kind, phase, excursion.along(breathing, trace) - still)


def _draw_excursion(rng: np.random.Generator, settings: BreathingSettings) -> Excursion:
    """Path of the tumour, in the proportions of the phantom's."""
    spread = rng.normal(0.0, settings.amplitude_spread)
    si = float(np.clip(settings.amplitude_median_mm * np.exp(spread), *settings.amplitude_range_mm))
    loop = float(rng.uniform(1.0, 5.0)) if rng.random() < 0.5 else 0.0
    return Excursion(
        si_mm=si,
        ap_mm=float(0.25 * si * rng.uniform(0.5, 1.5)),
        lr_mm=float(0.15 * si * rng.uniform(-1.0, 1.0)),
        hysteresis_mm=min(loop, 0.5 * si),
        drift_share=min(1.0, si / 10.0),
    )


def make_breathing_case(
    source: SourceCase, seed: int, cycle: int, settings: BreathingSettings
) -> tuple[Case, np.ndarray]:
    """Put breathing into a case.

    Args:
        source: the real images.
        seed: seed of the data set.
        cycle: number of the breathing put into this case, from 1.
        settings: everything else.

    Returns:
        The case, its `label` the union of the tumour over all phases; and the tumour as the CT shows it, uint8 (X, Y,
        Z), for an average CT at the phase nearest to the mean position.

    Raises:
        BadSourceError: the tumour is cut by a face and such are refused, or nothing useful would be left in the image.
    """
    if settings.refuse_cut_tumours and (cut := cut_faces(source.gtv)):
        raise BadSourceError(f"the tumour is cut by the {', '.join(cut)} face of its image (refuse_cut_tumours)")
    breath = draw_breath(seed, source.case, cycle, settings)
    phases_mm = breath.displacement(phase_centres(settings.num_phases))
    every_mm = np.concatenate([phases_mm, breath.displacement(np.linspace(0.0, 1.0, 101)), breath.trace_mm])
    low, high = np.minimum(every_mm.min(axis=0), 0.0), np.maximum(every_mm.max(axis=0), 0.0)
    motion = build_tissue_motion(source.grid, source.ct, source.gtv, every_mm, settings.fade_mm, settings.max_strain)
    target = MovingTarget(source.gtv, source.grid, np.maximum(-low, high))
    pet_motion = motion.on(source.pet_grid)
    pet_kept = pet_motion.covered(low, high)
    kept = within_pet(motion.covered(low, high), source.grid, pet_kept, source.pet_grid)
    _check_field(source, kept)

    ct_noise = stream(seed, source.case, cycle, "CT noise")
    ct, gtv, ct_phases = _take_ct(source, breath, motion, target, phases_mm, ct_noise)
    points, shares = dwell_points(breath.trace_mm)
    pet = pet_motion.mean(source.pet, points, shares)
    noise = stream(seed, source.case, cycle, "noise")
    pet = restore_pet_noise(pet, source.pet, pet_motion, points, shares, noise)
    if settings.pet_fwhm_mm > 0:
        pet = blur(pet, settings.pet_fwhm_mm, source.pet_grid.spacing_mm)
    phases = target.phases(phases_mm)[kept]
    label, gtv = (phases > 0).astype(np.uint8), gtv[kept].astype(np.uint8)
    if not gtv.any():
        raise BadSourceError("nothing of the tumour is left in the part of the image that the motion leaves covered")
    grid, pet_grid = cropped(source.grid, kept), cropped(source.pet_grid, pet_kept)
    facts = {"seed": int(seed), "cycle": int(cycle), "source_case": source.case, "source_patient": source.patient}
    facts |= _describe_motion(breath, phases_mm, motion, every_mm, ct_phases)
    facts |= _describe_target(source, grid, label, gtv, phases, settings.num_phases)
    facts |= {"left_out_voxels": [[part.start, n - part.stop] for part, n in zip(kept, source.grid.shape, strict=True)]}
    name = breathing_case_name(source.case, cycle)
    pet = np.ascontiguousarray(pet[pet_kept], np.float32)
    return Case(name, np.ascontiguousarray(ct[kept]), pet, label, phases, grid, pet_grid, facts), gtv


def breathing_case_name(source_case: str, cycle: int) -> str:
    """Name of a case and of its folder."""
    return f"{source_case}_cycle{cycle}"


def _take_ct(
    source: SourceCase,
    breath: Breath,
    motion: TissueMotion,
    target: MovingTarget,
    phases_mm: np.ndarray,
    noise: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """CT in int16, tumour in it, and the breathing phase of each slice (None for an average)."""
    slices = np.full(source.grid.shape[2], breath.ct_phase)
    if breath.ct_kind == "average":
        ct = restore_ct_noise(motion.mean(source.ct, phases_mm), source.ct, motion, phases_mm, noise)
        nearest = np.linalg.norm(phases_mm - phases_mm.mean(axis=0), axis=1).argmin()
        moved, slices = phases_mm[nearest], None
    else:
        if breath.ct_kind == "helical":
            slices = time_slices("phase", source.grid, breath.breathing, breath.ct_phase, 1).phases[0]
        moved = breath.displacement(slices)
        ct = motion.sharp(source.ct, moved)
    return np.rint(ct).astype(np.int16), target.at(moved), slices


def dwell_points(displacement_mm: np.ndarray, side_mm: float = DWELL_CUBE_MM) -> tuple[np.ndarray, np.ndarray]:
    """Few displacements that stand for many: the mean of those in each cube of space, and their share.

    Args:
        displacement_mm: samples at even time steps, (T, 3).
        side_mm: side of the cubes.

    Returns:
        (N, 3) displacements and (N,) shares with sum 1; the mean over all samples is kept.
    """
    cubes = np.floor(displacement_mm / side_mm).astype(int)
    _, number, counts = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), 3))
    np.add.at(sums, number.ravel(), displacement_mm)
    return sums / counts[:, None], counts / len(displacement_mm)


def cropped(grid: Grid, kept: tuple[slice, slice, slice]) -> Grid:
    """Part of a grid."""
    origin = np.asarray(grid.origin_mm) + [part.start * s for part, s in zip(kept, grid.spacing_mm, strict=True)]
    return Grid(tuple(map(float, origin)), grid.spacing_mm, tuple(int(part.stop - part.start) for part in kept))


def within_pet(
    kept: tuple[slice, slice, slice], grid: Grid, pet_kept: tuple[slice, slice, slice], pet_grid: Grid
) -> tuple[slice, slice, slice]:
    """Part of the CT that lies between the outermost voxel centres of what is kept of the PET.

    On faces alone where something of the PET is left out: thicker slices lose more there than the CT does, and the
    label must not reach beyond the PET.

    Args:
        kept: part of the CT's grid.
        grid: of the CT.
        pet_kept: part of the PET's grid.
        pet_grid: of the PET.
    """
    parts = []
    for axis, (part, pet_part) in enumerate(zip(kept, pet_kept, strict=True)):
        start, stop = part.start, part.stop
        first, last = (
            (pet_grid.origin_mm[axis] + index * pet_grid.spacing_mm[axis] - grid.origin_mm[axis])
            / grid.spacing_mm[axis]
            for index in (pet_part.start, pet_part.stop - 1)
        )
        if pet_part.start > 0:
            start = max(start, math.ceil(first - ROUNDING))
        if pet_part.stop < pet_grid.shape[axis]:
            stop = min(stop, math.floor(last + ROUNDING) + 1)
        parts.append(slice(start, max(start, stop)))
    return tuple(parts)


def cut_faces(mask: np.ndarray) -> list[str]:
    """Faces of the image that a mask (X, Y, Z) reaches."""
    return [
        name
        for axis, names in enumerate(FACES)
        for name, face in zip(names, np.moveaxis(mask, axis, 0)[[0, -1]], strict=True)
        if face.any()
    ]


def _check_field(source: SourceCase, kept: tuple[slice, slice, slice]) -> None:
    sizes = [part.stop - part.start for part in kept]
    if min(sizes) < SMALLEST_FIELD_SLICES:
        raise BadSourceError(
            f"the image is too small for the motion: of {source.grid.shape} voxels {tuple(sizes)} would be left; "
            "lower the amplitude or give images with more room around the tumour"
        )


def _describe_motion(breath, phases_mm, motion: TissueMotion, every_mm, ct_phases) -> dict:
    """Motion as plain values; amplitudes are peak to peak over the mean breath."""
    path = breath.displacement(np.linspace(0.0, 1.0, 101))
    ends = every_mm[[*every_mm.argmin(axis=0), *every_mm.argmax(axis=0)]]
    determinants = [motion.jacobian(d) for d in ends]
    return {
        "phantom": False,
        "breathing": asdict(breath.breathing),
        "excursion": asdict(breath.excursion),
        "motion_mm": dict(zip(("lr", "ap", "si"), np.ptp(path, axis=0).round(3).tolist(), strict=True)),
        "reference_phase": breath.reference_phase,
        "phase_displacement_mm": phases_mm.round(4).tolist(),
        "pet_displacement_mean_mm": breath.trace_mm.mean(axis=0).round(4).tolist(),
        "ct_kind": breath.ct_kind,
        "ct_phase": None if ct_phases is None else float(breath.ct_phase),
        "fade_mm": [round(v, 3) for v in motion.fade_mm],
        "jacobian_range": [
            round(float(min(d.min() for d in determinants)), 4),
            round(float(max(d.max() for d in determinants)), 4),
        ],
    }


def _describe_target(source: SourceCase, grid: Grid, label, gtv, phases, num_phases: int) -> dict:
    voxel_ml = grid.voxel_volume_ml
    return {
        "source_volume_ml": float(source.gtv.sum() * voxel_ml),
        "gtv_volume_ml": float(gtv.sum() * voxel_ml),
        "phase_volume_ml": [float(v.sum() * voxel_ml) for v in unpack_phases(phases, num_phases)],
        "label_volume_ml": float(label.sum() * voxel_ml),
        "tumour_suv": float(_maximum(source)),
        "cut_by": cut_faces(label),
    }


def _maximum(source: SourceCase) -> float:
    """Largest SUV inside the source's GTV."""
    points = np.argwhere(source.gtv) * np.asarray(source.grid.spacing_mm) + np.asarray(source.grid.origin_mm)
    voxels = np.rint((points - source.pet_grid.origin_mm) / source.pet_grid.spacing_mm).astype(int)
    inside = ((voxels >= 0) & (voxels < source.pet_grid.shape)).all(axis=1)
    return source.pet[tuple(voxels[inside].T)].max()
