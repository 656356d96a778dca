"""Bodies that look like the target on one of the two images but are not it.

What keeps the target well defined: it is the one lesion inside the lung that is both avid and of soft-tissue density.
Avid distractors lie outside the lung (nodes, ventricle, bone) or are ground glass without a solid part
(inflammation, fainter than the tumour); the dense ones within the lung (second nodule, atelectasis) are cold.
"""

from dataclasses import dataclass

import numpy as np

from .anatomy import RIB_SPACING_MM, SPINE_MM, Anatomy
from .lesion import Lesion, random_harmonics, random_rotation
from .motion import Excursion
from .settings import PhantomSettings
from .tumour import LungMap, Tumour

CLEARANCE_MM = 8.0
HEART_MOTION = 0.35
HOT_HEART_SHARE = 0.5
HOT_HEART_SUV = (3.0, 10.0)
FAINT_HEART_SUV = (1.5, 3.0)
NODE_COUNT_SHARES = (0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Distractor:
    """A body that is not the target, and its motion."""

    lesion: Lesion
    excursion: Excursion


def lung_excursion(anatomy: Anatomy, height_mm: float, diaphragm_mm: float) -> Excursion:
    """Motion of lung tissue at a height when the diaphragm moves by `diaphragm_mm`."""
    share = float(anatomy.motion_share(height_mm))
    si = share * diaphragm_mm
    return Excursion(si_mm=si, ap_mm=0.2 * si, drift_share=share)


def draw_distractors(
    rng: np.random.Generator,
    settings: PhantomSettings,
    anatomy: Anatomy,
    lungs: LungMap,
    tumour: Tumour,
    diaphragm_mm: float,
) -> list[Distractor]:
    """Random distractors of one case.

    Args:
        rng: source of randomness.
        settings: `distractors` switches all of them off.
        anatomy: the thorax.
        lungs: map of the lungs.
        tumour: the target, to keep clear of.
        diaphragm_mm: excursion of the diaphragm.
    """
    if not settings.distractors:
        return []
    drawn = [
        *_ventricle(rng, anatomy, diaphragm_mm),
        *_nodes(rng, anatomy, diaphragm_mm),
        *_bone_lesions(rng, anatomy, tumour),
        *_in_lung(rng, anatomy, lungs, tumour, diaphragm_mm),
    ]
    return [d for d in drawn if _is_clear(d, tumour)]


def _is_clear(distractor: Distractor, tumour: Tumour) -> bool:
    """Whether the distractor keeps its distance from the tumour in every phase."""
    gap = np.asarray(distractor.lesion.centre_mm) - np.asarray(tumour.lesion.centre_mm)
    relative_si = tumour.excursion.si_mm - distractor.excursion.si_mm
    # the nearest the two centres come while the tumour moves along z relative to the other
    nearest = np.clip(gap[2], min(-relative_si, 0.0), max(-relative_si, 0.0))
    distance = float(np.linalg.norm([gap[0], gap[1], gap[2] - nearest]))
    return distance > tumour.lesion.reach_mm + distractor.lesion.mean_radius_mm + CLEARANCE_MM / 2


def _ventricle(rng, anatomy: Anatomy, diaphragm_mm: float) -> list[Distractor]:
    """Left ventricle: a shell of myocardium, from faint to the hottest thing in the picture."""
    heart = anatomy.heart_centre_mm
    centre = (heart[0] - 16.0, heart[1] - 2.0, heart[2] - 4.0)
    # after fasting about half of the hearts stay near the blood pool
    lowest, highest = HOT_HEART_SUV if rng.random() < HOT_HEART_SHARE else FAINT_HEART_SUV
    lesion = Lesion(
        name="myocardium",
        centre_mm=centre,
        semi_axes_mm=(rng.uniform(26, 31), rng.uniform(24, 29), rng.uniform(30, 36)),
        hu=anatomy.hu["blood"] + 8.0,
        suv=float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))),
        rotation=random_rotation(rng),
        core_share=0.62,
        core_hu=anatomy.hu["blood"],
        core_suv=anatomy.suv["blood"],
        uptake_gradient=tuple(rng.normal(0.0, 0.15, 3)),
    )
    return [Distractor(lesion, Excursion(si_mm=HEART_MOTION * diaphragm_mm, drift_share=HEART_MOTION))]


def _nodes(rng, anatomy: Anatomy, diaphragm_mm: float) -> list[Distractor]:
    """Hot mediastinal and hilar lymph nodes, outside the lung."""
    nodes = []
    for _ in range(rng.choice(len(NODE_COUNT_SHARES), p=NODE_COUNT_SHARES)):
        radius = rng.uniform(4.0, 10.0)
        side = rng.choice((-1.0, 1.0))
        height = anatomy.apex_mm * rng.uniform(0.35, 0.75)
        lateral = side * rng.uniform(0.2, 0.85) * (anatomy.mediastinum_mm - radius)
        centre = (lateral, rng.uniform(-30.0, 25.0), height)
        lesion = Lesion(
            name="lymph node",
            centre_mm=tuple(float(c) for c in centre),
            semi_axes_mm=tuple(radius * rng.uniform(0.8, 1.25, 3)),
            hu=rng.uniform(25.0, 50.0),
            suv=rng.uniform(3.0, 12.0),
            rotation=random_rotation(rng),
        )
        share = 0.5 * float(anatomy.motion_share(height))
        nodes.append(Distractor(lesion, Excursion(si_mm=share * diaphragm_mm, drift_share=share)))
    return nodes


def _bone_lesions(rng, anatomy: Anatomy, tumour: Tumour) -> list[Distractor]:
    """A hot vertebral body or rib lesion; they do not move."""
    half_x, half_y = anatomy.cavity_half_mm
    lesions = []
    level = np.floor(tumour.lesion.centre_mm[2] / RIB_SPACING_MM) + rng.integers(-2, 3)
    if rng.random() < 0.25:
        # the middle of a vertebral body
        height = (level + 0.5) * RIB_SPACING_MM - anatomy.rib_phase_mm
        centre = (rng.uniform(-6, 6), -half_y + SPINE_MM + rng.uniform(-5, 5), height)
        lesions.append(("vertebral lesion", centre, rng.uniform(7.0, 14.0)))
    if rng.random() < 0.2:
        angle = rng.uniform(-0.25, 0.6) * np.pi
        side = rng.choice((-1.0, 1.0))
        x, y = side * (half_x + 7.0) * np.cos(angle), (half_y + 7.0) * np.sin(angle)
        lesions.append(("rib lesion", (x, y, tumour.lesion.centre_mm[2] + rng.uniform(-50, 50)), rng.uniform(5.0, 9.0)))
    return [
        Distractor(
            Lesion(
                name=name,
                centre_mm=tuple(float(c) for c in centre),
                semi_axes_mm=(radius, radius, 0.9 * radius),
                hu=rng.uniform(80.0, 350.0),
                suv=rng.uniform(3.0, 10.0),
                harmonics=random_harmonics(rng, 0.08),
            ),
            Excursion(),
        )
        for name, centre, radius in lesions
    ]


def _in_lung(rng, anatomy: Anatomy, lungs: LungMap, tumour: Tumour, diaphragm_mm: float) -> list[Distractor]:
    """Inflammation (ground glass, faintly avid) and second nodules (dense and cold) within the lung."""
    recipes = []
    if rng.random() < 0.4:
        hu, suv = rng.uniform(-650.0, -400.0), min(rng.uniform(2.0, 3.0), 0.6 * tumour.lesion.suv)
        recipes.append(("inflammation", rng.uniform(8.0, 20.0), hu, suv, 10.0))
    for _ in range(rng.integers(0, 3)):
        benign_hu = rng.uniform(200.0, 500.0) if rng.random() < 0.4 else rng.uniform(20.0, 60.0)
        recipes.append(("cold nodule", rng.uniform(3.5, 9.0), benign_hu, rng.uniform(0.6, 1.1), 0.0))
    bodies = []
    distance = np.sqrt(sum((c - o) ** 2 for c, o in zip(lungs.grid.axes(), tumour.lesion.centre_mm, strict=True)))
    for name, radius, hu, suv, fuzziness in recipes:
        room = tumour.lesion.reach_mm + radius + fuzziness + tumour.excursion.si_mm + CLEARANCE_MM
        near = (distance > room) & (distance < room + 60.0) & (lungs.depth_mm > radius + 2.0)
        places = lungs.positions(near)
        if not len(places):
            continue
        centre = tuple(float(c) for c in places[rng.integers(len(places))])
        lesion = Lesion(
            name=name,
            centre_mm=centre,
            semi_axes_mm=tuple(radius * rng.uniform(0.85, 1.2, 3)),
            hu=hu,
            suv=suv,
            rotation=random_rotation(rng),
            harmonics=random_harmonics(rng, 0.12 if fuzziness else 0.0),
            fuzziness_mm=fuzziness,
        )
        bodies.append(Distractor(lesion, lung_excursion(anatomy, centre[2], diaphragm_mm)))
    return bodies
