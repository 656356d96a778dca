"""The thorax apart from lesions: signed-distance formulas of organs, evaluated on any grid.

Space: RAS in mm; x = 0 is the midline, y = 0 the middle of the chest front to back, z = 0 the top of the right dome of
the diaphragm at exhale. What lies below the diaphragm moves; its occupancy comes from the distribution of the
diaphragm's displacement, so that a still phase, an average CT and the PET time average share one formula.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from .grid import Grid, occupancy
from .vessels import VesselTree, draw_vessels

RIB_SPACING_MM = 27.0
RIB_SLOPE = 0.45
# vertebral bodies stand so far in front of the back of the rib cage
SPINE_MM = 14.0


@dataclass(frozen=True)
class Anatomy:
    """Sizes and tissue values of one thorax. Half-axes, radii, thicknesses in mm."""

    body_half_mm: tuple[float, float]
    fat_mm: float
    wall_mm: float
    apex_mm: float
    mediastinum_mm: float
    heart_centre_mm: tuple[float, float, float]
    heart_half_mm: tuple[float, float, float]
    left_dome_drop_mm: float
    dome_height_mm: float
    aorta_mm: float
    rib_phase_mm: float
    atelectasis_side: float
    atelectasis_mm: float
    hu: dict[str, float]
    suv: dict[str, float]
    vessels: VesselTree = field(repr=False)
    texture: np.ndarray = field(repr=False)

    @property
    def cavity_half_mm(self) -> tuple[float, float]:
        """Half-axes of the inside of the rib cage at its widest."""
        return self.body_half_mm[0] - self.wall_mm, self.body_half_mm[1] - self.wall_mm

    def motion_share(self, z) -> np.ndarray:
        """Share of the diaphragm's excursion that lung at height z (mm) follows: 1 at the base, 0 at the apex."""
        return np.clip(1.0 - np.asarray(z, np.float32) / np.float32(self.apex_mm), 0.0, 1.0)

    def dome(self, x, y) -> np.ndarray:
        """Height in mm of the diaphragm at exhale over (x, y)."""
        half_x, half_y = self.cavity_half_mm
        sides = []
        for lateral, drop in ((1.0, 0.0), (-1.0, self.left_dome_drop_mm)):
            off_x = (x - lateral * 0.48 * half_x) / (0.62 * half_x)
            off_y = (y + 0.05 * half_y) / (1.15 * half_y)
            sides.append(-drop - self.dome_height_mm * np.minimum(off_x**2 + off_y**2, 2.2))
        return np.maximum(*sides).astype(np.float32)

    def cavity_distance(self, x, y, z) -> np.ndarray:
        """Signed distance in mm to the inside of the rib cage, tapered to the apex."""
        half_x, half_y = self.cavity_half_mm
        rise = np.clip((z - 0.35 * self.apex_mm) / (0.65 * self.apex_mm), 0.0, 1.0)
        taper = np.sqrt(np.maximum(1.0 - rise**2.5, 1e-4))
        radius = superellipse(x / half_x, y / half_y, 2.4)
        return np.maximum((radius - taper) * min(half_x, half_y), z - self.apex_mm)

    def mediastinum_distance(self, x, y, z) -> np.ndarray:
        """Signed distance in mm to the space between the lungs."""
        half_y = self.cavity_half_mm[1]
        narrowing = 0.65 + 0.35 * np.cos(np.clip(y / half_y, -1.0, 1.0) * np.pi / 2)
        shift = -6.0 * np.clip(1.0 - z / 100.0, 0.0, 1.0)
        spine = tube(x, y, 0.0, -half_y + SPINE_MM, 27.0)
        return np.minimum(np.abs(x - shift) - self.mediastinum_mm * narrowing, spine)

    def heart_distance(self, x, y, z) -> np.ndarray:
        """Signed distance in mm to the heart at exhale (approximate: exact on the surface)."""
        return ellipsoid(x, y, z, self.heart_centre_mm, self.heart_half_mm)

    def lung_distance(self, x, y, z) -> np.ndarray:
        """Signed distance in mm to the lungs at exhale (negative inside)."""
        return np.maximum.reduce(
            np.broadcast_arrays(
                self.cavity_distance(x, y, z),
                -self.mediastinum_distance(x, y, z),
                -self.heart_distance(x, y, z),
                self.dome(x, y) - z,
            )
        )

    def layers(self, grid: Grid, diaphragm_mm: np.ndarray, heart_mm: float) -> list[tuple[str, np.ndarray]]:
        """Tissues in painting order: each covers its occupancy (0 to 1) of what lies below it.

        Args:
            grid: where.
            diaphragm_mm: samples of the diaphragm's displacement along z (negative: down): (T,) at even time steps,
                or (T, Z) when it differs between slices (helical CT).
            heart_mm: displacement of the heart along z.

        Returns:
            Pairs of the tissue's name (key of `hu` and `suv`) and arrays that broadcast to the grid.
        """
        x, y, z = grid.axes()
        edge = float(np.mean(grid.spacing_mm))
        half_y = self.cavity_half_mm[1]
        body = (superellipse(x / self.body_half_mm[0], y / self.body_half_mm[1], 2.3) - 1.0) * self.body_half_mm[1]
        cavity = self.cavity_distance(x, y, z)
        heart_z = z - heart_mm
        below = self.below_diaphragm(grid, diaphragm_mm, 0.0)
        layers = [
            ("fat", occupancy(body, edge)),
            ("muscle", occupancy(body + self.fat_mm, edge)),
            ("bone", occupancy(self._rib_distance(x, y, z, cavity), edge)),
            ("lung", occupancy(cavity, edge)),
        ]
        inside = occupancy(cavity - 1.0, edge)
        spine = occupancy(tube(x, y, 0.0, -half_y + SPINE_MM, 18.0), edge)
        if self.atelectasis_side:
            # collapsed lung on the back of the diaphragm, which carries it along
            reach = np.clip((-0.25 * half_y - y) / 20.0, 0.0, 1.0) * np.clip(self.atelectasis_side * x / 10.0, 0.0, 1.0)
            raised = self.below_diaphragm(grid, diaphragm_mm, self.atelectasis_mm * reach)
            layers.append(("atelectasis", raised * inside))
        layers += [
            ("mediastinum", occupancy(self.mediastinum_distance(x, y, z), edge) * inside),
            ("blood", occupancy(ellipsoid(x, y, heart_z, self.heart_centre_mm, self.heart_half_mm), edge) * inside),
            ("blood", occupancy(tube(x, y, -24.0, -half_y + 34.0, self.aorta_mm), edge)),
            ("blood", occupancy(np.maximum(tube(x, y, 14.0, 12.0, self.aorta_mm + 1.0), 70.0 - z), edge)),
            ("oesophagus", occupancy(tube(x, y, -4.0, -half_y + 44.0, 7.0), edge)),
            ("air", occupancy(self._airway_distance(x, y, z, half_y), edge)),
            ("disc", spine),
            ("marrow", occupancy(self._vertebra_distance(x, y, z, half_y), edge)),
            ("disc", occupancy(tube(x, y, 0.0, -half_y - 10.0, 7.0), edge)),
        ]
        # the diaphragm ends at the rib cage; liver on the right, spleen and stomach on the left
        filled = below * inside * (1.0 - spine)
        liver = filled * occupancy(-30.0 - x, 12.0)
        # what the liver will leave uncovered, so that both together cover `filled`
        abdomen = (filled - liver) / np.maximum(1.0 - liver, np.float32(1e-6))
        return [*layers, ("abdomen", abdomen), ("liver", liver)]

    def below_diaphragm(self, grid: Grid, diaphragm_mm: np.ndarray, raised_mm) -> np.ndarray:
        """Share of time that each voxel lies below the diaphragm, raised by `raised_mm`; (X, Y, Z)."""
        x, y, z = grid.axes()
        height = z - self.dome(x, y) - raised_mm
        edge = float(grid.spacing_mm[2])
        moved = np.asarray(diaphragm_mm, np.float32)
        if moved.ndim == 1 and len(moved) > 16:
            # the voxel is below while displacement > height: one minus the cumulative distribution
            order = np.sort(moved)
            share = 1.0 - (np.arange(len(order), dtype=np.float32) + 0.5) / len(order)
            return np.interp(height, order, share, left=1.0, right=0.0).astype(np.float32)
        total = np.zeros(grid.shape, np.float32)
        for sample in moved.reshape(len(moved), -1):
            total += occupancy(height - sample, edge)
        return total / np.float32(len(moved))

    def _rib_distance(self, x, y, z, cavity) -> np.ndarray:
        height = z + RIB_SLOPE * (y + self.cavity_half_mm[1]) + self.rib_phase_mm
        off = np.abs(np.mod(height, RIB_SPACING_MM) - RIB_SPACING_MM / 2)
        shell = np.abs(cavity - 7.0)
        sternum = np.maximum(np.abs(x) - 17.0, np.abs(y - self.cavity_half_mm[1] - 8.0) - 5.0)
        return np.minimum(np.sqrt(off**2 + shell**2) - 5.5, sternum)

    def _vertebra_distance(self, x, y, z, half_y) -> np.ndarray:
        off = np.abs(np.mod(z + self.rib_phase_mm, RIB_SPACING_MM) - RIB_SPACING_MM / 2)
        body = np.maximum(tube(x, y, 0.0, -half_y + SPINE_MM, 17.0), off - 11.0)
        spinous = np.maximum(np.abs(x) - 4.0, np.abs(y + half_y + 12.0) - 7.0)
        return np.minimum(body, np.maximum(spinous, off - 9.0))

    def _airway_distance(self, x, y, z, half_y) -> np.ndarray:
        carina_mm = 0.55 * self.apex_mm
        trachea = np.maximum(tube(x, y, 2.0, -half_y + 58.0, 8.5), carina_mm - z)
        # main bronchi: the tube leans outwards below the carina
        drop = np.clip(carina_mm - z, 0.0, 35.0)
        bronchus = tube(np.abs(x - 2.0), y, 0.8 * drop, -half_y + 58.0, 6.5)
        return np.minimum(trachea, np.maximum(bronchus, np.maximum(z - carina_mm, carina_mm - 35.0 - z)))


def superellipse(u, v, power: float) -> np.ndarray:
    """Level of a superellipse: 1 on its outline, below inside."""
    return (np.abs(u) ** power + np.abs(v) ** power) ** (1.0 / power)


def ellipsoid(x, y, z, centre, half) -> np.ndarray:
    """Signed distance in mm to an ellipsoid (approximate: exact on the surface)."""
    level = sum(((c - o) / h) ** 2 for c, o, h in zip((x, y, z), centre, half, strict=True))
    return (np.sqrt(level) - 1.0) * min(half)


def tube(x, y, centre_x, centre_y, radius_mm: float) -> np.ndarray:
    """Signed distance in mm to an upright tube."""
    return np.sqrt((x - centre_x) ** 2 + (y - centre_y) ** 2) - radius_mm


def draw_anatomy(rng: np.random.Generator, distractors: bool) -> Anatomy:
    """A random thorax."""
    body = (rng.uniform(148.0, 163.0), rng.uniform(98.0, 112.0))
    apex = rng.uniform(185.0, 220.0)
    blood_suv = rng.uniform(1.4, 2.0)
    hilum_z = 0.5 * apex
    trees = [draw_vessels(rng, (side * 28.0, -5.0, hilum_z), side) for side in (1.0, -1.0)]
    atelectasis = distractors and rng.random() < 0.35
    return Anatomy(
        body_half_mm=body,
        fat_mm=rng.uniform(7.0, 16.0),
        wall_mm=rng.uniform(26.0, 32.0),
        apex_mm=apex,
        mediastinum_mm=rng.uniform(30.0, 38.0),
        heart_centre_mm=(rng.uniform(-28.0, -18.0), rng.uniform(14.0, 24.0), rng.uniform(24.0, 36.0)),
        heart_half_mm=(rng.uniform(48.0, 58.0), rng.uniform(42.0, 50.0), rng.uniform(44.0, 54.0)),
        left_dome_drop_mm=rng.uniform(8.0, 20.0),
        dome_height_mm=rng.uniform(28.0, 42.0),
        aorta_mm=rng.uniform(11.0, 14.0),
        rib_phase_mm=rng.uniform(0.0, RIB_SPACING_MM),
        atelectasis_side=float(rng.choice((-1.0, 1.0))) if atelectasis else 0.0,
        atelectasis_mm=rng.uniform(15.0, 40.0),
        hu={
            "fat": rng.uniform(-110.0, -90.0),
            "muscle": rng.uniform(40.0, 60.0),
            "bone": rng.uniform(250.0, 400.0),
            "lung": rng.uniform(-880.0, -800.0),
            "atelectasis": rng.uniform(20.0, 45.0),
            "mediastinum": rng.uniform(0.0, 35.0),
            "blood": rng.uniform(35.0, 50.0),
            "oesophagus": rng.uniform(25.0, 40.0),
            "air": -980.0,
            "disc": rng.uniform(60.0, 90.0),
            "marrow": rng.uniform(160.0, 240.0),
            "abdomen": rng.uniform(30.0, 45.0),
            "liver": rng.uniform(50.0, 65.0),
        },
        suv={
            "fat": rng.uniform(0.2, 0.4),
            "muscle": rng.uniform(0.55, 0.85),
            "bone": rng.uniform(0.6, 1.1),
            "lung": rng.uniform(0.4, 0.6),
            "atelectasis": rng.uniform(0.9, 1.7),
            "mediastinum": 0.85 * blood_suv,
            "blood": blood_suv,
            "oesophagus": rng.uniform(1.5, 4.0) if distractors else blood_suv,
            "air": 0.2,
            "disc": rng.uniform(0.6, 0.9),
            "marrow": rng.uniform(1.0, 1.8),
            "abdomen": rng.uniform(1.3, 2.6),
            "liver": rng.uniform(2.0, 2.6),
        },
        vessels=VesselTree(
            np.concatenate([t.start_mm for t in trees]),
            np.concatenate([t.end_mm for t in trees]),
            np.concatenate([t.radius_mm for t in trees]),
        ),
        texture=_texture(rng),
    )


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Smooth random field of unit variance for the density of the lungs, (12, 12, 12)."""
    coarse = gaussian_filter(rng.normal(size=(12, 12, 12)), 0.8)
    return (coarse / coarse.std()).astype(np.float32)


def texture_on(anatomy: Anatomy, shape: tuple[int, int, int]) -> np.ndarray:
    """The texture stretched over a grid of the given shape."""
    factors = [n / m for n, m in zip(shape, anatomy.texture.shape, strict=True)]
    return zoom(anatomy.texture, factors, order=1)


def paint(layers: list[tuple[str, np.ndarray]], values: dict[str, float], outside: float, shape) -> np.ndarray:
    """Lay tissues over each other: each replaces its occupancy of what is there, (X, Y, Z) float32."""
    volume = np.full(shape, outside, np.float32)
    for name, filled in layers:
        volume += filled * (np.float32(values[name]) - volume)
    return volume
