"""Drawing the tumour: lobe, site, size, kind, uptake, and its motion."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from .anatomy import Anatomy
from .grid import Grid
from .lesion import Lesion, random_harmonics, random_rotation
from .motion import Breathing, Excursion
from .settings import AMPLITUDE_MEDIAN_MM, LOBES, PhantomSettings

LOBE_SHARES = (0.45, 0.10, 0.45)
SITES = ("parenchyma", "chest wall", "mediastinum", "diaphragm")
KINDS = ("solid", "necrotic", "part-solid")
KIND_SHARES = (0.57, 0.25, 0.18)
# lower-lobe tumours only reach the diaphragm: 0.33 of 0.45 gives the 15 % over all
SITE_SHARES = {
    "upper": (0.66, 0.17, 0.17, 0.0),
    "middle": (0.60, 0.15, 0.25, 0.0),
    "lower": (0.42, 0.14, 0.11, 0.33),
}
# height of the lobes as a share of the way from the dome to the apex
LOBE_HEIGHT = {"upper": (0.50, 0.92), "middle": (0.28, 0.55), "lower": (0.0, 0.50)}
ATTACHED_MOTION = 0.3
MAP_SPACING_MM = 5.0


@dataclass(frozen=True)
class LungMap:
    """Coarse map of the lungs at exhale for placing things.

    Args:
        grid: its grid.
        depth_mm: distance to the nearest border of the lung, 0 outside, (X, Y, Z).
        border: index into SITES of the nearest border (1 chest wall, 2 mediastinum, 3 diaphragm).
    """

    grid: Grid
    depth_mm: np.ndarray
    border: np.ndarray

    def positions(self, mask: np.ndarray) -> np.ndarray:
        """World positions (N, 3) in mm of the voxels in a mask."""
        return np.argwhere(mask) * np.asarray(self.grid.spacing_mm) + np.asarray(self.grid.origin_mm)


def map_lungs(anatomy: Anatomy) -> LungMap:
    """Depth and nearest border for every point of the lungs."""
    half_x, half_y = anatomy.cavity_half_mm
    corners = (-half_x - 10, -half_y - 10, -50.0), (half_x + 10, half_y + 10, anatomy.apex_mm + 10)
    size = [int((h - l) / MAP_SPACING_MM) + 1 for l, h in zip(*corners, strict=True)]  # noqa: E741
    grid = Grid(tuple(float(c) for c in corners[0]), (MAP_SPACING_MM,) * 3, tuple(size))
    x, y, z = grid.axes()
    lung = anatomy.lung_distance(x, y, z) < 0
    depth, nearest = distance_transform_edt(lung, sampling=grid.spacing_mm, return_indices=True)
    kind = np.full(grid.shape, 1, np.int8)
    between = np.minimum(anatomy.mediastinum_distance(x, y, z), anatomy.heart_distance(x, y, z)) < 0
    kind[np.broadcast_to(between & (anatomy.cavity_distance(x, y, z) < 0), grid.shape)] = 2
    kind[np.broadcast_to(z < anatomy.dome(x, y), grid.shape)] = 3
    return LungMap(grid, depth.astype(np.float32), kind[tuple(nearest)])


@dataclass(frozen=True)
class Tumour:
    """The target: its body, how it moves and what it is.

    Args:
        lesion: shape and values at exhale.
        excursion: path during the mean breath.
        lobe, site, kind: see LOBES, SITES, KINDS.
        diameter_mm: diameter of the ball of the same volume (before irregularity).
    """

    lesion: Lesion
    excursion: Excursion
    lobe: str
    site: str
    kind: str
    diameter_mm: float


def draw_breathing(rng: np.random.Generator) -> Breathing:
    """How the patient breathes: Lujan order 1 to 3, cycles of 3 to 5 s, 10 to 20 % irregular, up to 3 mm of drift."""
    return Breathing(
        order=int(rng.integers(1, 4)),
        period_s=float(rng.uniform(3.0, 5.0)),
        cycle_jitter=float(rng.uniform(0.10, 0.20)),
        drift_mm=float(rng.uniform(-3.0, 3.0)),
    )


def draw_tumour(rng: np.random.Generator, settings: PhantomSettings, lungs: LungMap, anatomy: Anatomy) -> Tumour:
    """A random tumour in the lung."""
    lobe = str(rng.choice(LOBES, p=LOBE_SHARES))
    site = str(rng.choice(SITES, p=SITE_SHARES[lobe]))
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    diameter = float(np.clip(rng.lognormal(np.log(settings.diameter_median_mm), 0.45), *settings.diameter_range_mm))
    suv = float(np.clip(rng.lognormal(np.log(settings.tumour_suv_median), 0.5), *settings.tumour_suv_range))
    centre = _place(rng, lungs, anatomy, lobe, site, diameter / 2)
    lesion = _body(rng, kind, centre, diameter, suv)
    return Tumour(lesion, _draw_excursion(rng, settings, lobe, site), lobe, site, kind, diameter)


def _place(rng, lungs: LungMap, anatomy: Anatomy, lobe: str, site: str, radius_mm: float) -> np.ndarray:
    """Centre of the tumour (3,) in mm: deep in the lung, or with a part of its surface on the wanted border."""
    x, y, z = lungs.grid.axes()
    low, high = (share * anatomy.apex_mm for share in LOBE_HEIGHT[lobe])
    allowed = (lungs.depth_mm > 0) & (z <= high) & (z >= low - 40.0 * (lobe == "lower"))
    if lobe == "middle":
        allowed = allowed & (x > 0) & (y > -0.1 * anatomy.cavity_half_mm[1])
    if site == "parenchyma":
        wanted = radius_mm + 3.0
        misfit = np.maximum(wanted - lungs.depth_mm, 0.0)
    else:
        # one half to four fifths of the radius from the border: it grows into the neighbour by a few mm
        misfit = np.abs(lungs.depth_mm - 0.65 * radius_mm) + 50.0 * (lungs.border != SITES.index(site))
    misfit = np.where(allowed, misfit, np.inf)
    tolerance = float(misfit.min()) + max(0.15 * radius_mm, MAP_SPACING_MM / 2)
    places = lungs.positions(misfit <= tolerance)
    place = places[rng.integers(len(places))]
    beside = place + rng.uniform(-0.5, 0.5, 3) * MAP_SPACING_MM
    return beside if float(anatomy.lung_distance(*beside)) < 0 else place


def _body(rng, kind: str, centre, diameter_mm: float, suv: float) -> Lesion:
    stretch = np.exp(rng.normal(0.0, 0.12, 3))
    semi_axes = diameter_mm / 2 * stretch / np.prod(stretch) ** (1 / 3)
    parts = {}
    if kind == "necrotic":
        parts = {"core_share": rng.uniform(0.45, 0.7), "core_hu": rng.uniform(5.0, 25.0)}
        parts["core_suv"] = min(rng.uniform(0.8, 1.8), 0.5 * suv)
    elif kind == "part-solid":
        parts = {"rim_share": rng.uniform(0.2, 0.4), "rim_hu": rng.uniform(-600.0, -300.0)}
        parts["rim_suv"] = rng.uniform(0.2, 0.45) * suv
    return Lesion(
        name="tumour",
        centre_mm=tuple(float(c) for c in centre),
        semi_axes_mm=tuple(float(a) for a in semi_axes),
        hu=float(rng.uniform(20.0, 50.0)),
        suv=suv,
        rotation=random_rotation(rng),
        harmonics=random_harmonics(rng, 0.10),
        uptake_gradient=tuple(float(g) for g in rng.normal(0.0, 0.22, 3)),
        **{k: float(v) for k, v in parts.items()},
    )


def _draw_excursion(rng, settings: PhantomSettings, lobe: str, site: str) -> Excursion:
    """Motion of the tumour: log-normal by lobe, held back where it has grown into a wall."""
    median = settings.amplitude_median_mm[LOBES.index(lobe)]
    spread = rng.normal(0.0, settings.amplitude_spread)
    attached = ATTACHED_MOTION if site in ("chest wall", "mediastinum") and rng.random() < 0.5 else 1.0
    si = min(median * float(np.exp(spread)), settings.amplitude_cap_mm) * attached
    loop = float(rng.uniform(1.0, 5.0)) if rng.random() < 0.5 else 0.0
    # a loop wider than the path is long is not seen in patients
    loop = min(loop, 0.5 * si)
    return Excursion(
        si_mm=si,
        ap_mm=float(0.25 * si * rng.uniform(0.5, 1.5)),
        lr_mm=float(0.15 * si * rng.uniform(-1.0, 1.0)),
        hysteresis_mm=loop,
        drift_share=attached * min(1.0, median / AMPLITUDE_MEDIAN_MM["igtv"][-1]),
    )
