"""Compact bodies given by a formula: tumours, lymph nodes, nodules, the left ventricle.

A lesion is an ellipsoid whose radius is modulated by low-order zonal harmonics about random axes (a sum of these spans
the spherical harmonics of that degree). It is evaluated wherever it is wanted, so its position in every
breathing phase is exact and never resampled.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import eval_legendre

from .grid import occupancy


@dataclass(frozen=True)
class Harmonic:
    """One zonal harmonic of the surface: radius factor `amplitude` * P_degree(direction . axis)."""

    degree: int
    amplitude: float
    axis: tuple[float, float, float]


@dataclass(frozen=True)
class Lesion:
    """A body with a surface, an optional core and an optional rim.

    Args:
        name: what it is.
        centre_mm: position at exhale (RAS).
        semi_axes_mm: half lengths of the ellipsoid.
        hu: CT number of the solid part.
        suv: uptake of the solid part in SUVbw (g/ml).
        rotation: columns are the directions of the semi-axes, (3, 3).
        harmonics: modulation of the surface.
        core_share: radius of the core relative to the surface, 0 for none.
        core_hu, core_suv: values of the core.
        rim_share: thickness of the rim relative to the radius, 0 for none.
        rim_hu, rim_suv: values of the rim.
        uptake_gradient: relative change of the uptake from the centre to the surface along each semi-axis.
        fuzziness_mm: width of the border on top of the voxel size.
    """

    name: str
    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    hu: float
    suv: float
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    harmonics: tuple[Harmonic, ...] = ()
    core_share: float = 0.0
    core_hu: float = 0.0
    core_suv: float = 0.0
    rim_share: float = 0.0
    rim_hu: float = 0.0
    rim_suv: float = 0.0
    uptake_gradient: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fuzziness_mm: float = 0.0

    @property
    def mean_radius_mm(self) -> float:
        return float(np.prod(self.semi_axes_mm) ** (1.0 / 3.0))

    @property
    def reach_mm(self) -> float:
        """Radius of a ball around the centre that holds the whole body."""
        swell = 1.0 + sum(abs(h.amplitude) for h in self.harmonics)
        return float(max(self.semi_axes_mm) * swell + self.fuzziness_mm)

    def local(self, x, y, z) -> tuple[list[np.ndarray], np.ndarray]:
        """Coordinates in units of the semi-axes, and the level: 0 at the centre, 1 on the surface.

        Args:
            x, y, z: world coordinates in mm of the body at exhale (broadcastable arrays).
        """
        offset = [np.asarray(c - o, np.float32) for c, o in zip((x, y, z), self.centre_mm, strict=True)]
        rotation = np.asarray(self.rotation, np.float32)
        unit = [
            sum(np.float32(rotation[row, axis] / self.semi_axes_mm[axis]) * offset[row] for row in range(3))
            for axis in range(3)
        ]
        radius = np.sqrt(unit[0] ** 2 + unit[1] ** 2 + unit[2] ** 2)
        if not self.harmonics:
            return unit, radius
        inverse = 1.0 / np.maximum(radius, np.float32(1e-6))
        surface = np.ones_like(radius)
        for harmonic in self.harmonics:
            cosine = sum(np.float32(a) * u for a, u in zip(harmonic.axis, unit, strict=True)) * inverse
            surface += np.float32(harmonic.amplitude) * legendre(harmonic.degree, cosine)
        return unit, radius / surface

    def contains(self, x, y, z) -> np.ndarray:
        """True where the points (mm) lie inside the surface."""
        return self.local(x, y, z)[1] <= 1.0

    def sample(self, x, y, z, edge_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Occupancy (0 to 1), CT number in HU and uptake in SUVbw at points in mm.

        Args:
            x, y, z: world coordinates of the body at exhale.
            edge_mm: width of the partial-volume ramp, commonly the voxel size.
        """
        unit, level = self.local(x, y, z)
        scale = np.float32(self.mean_radius_mm)
        filled = occupancy((level - 1.0) * scale, edge_mm + self.fuzziness_mm)
        hu = np.full_like(level, self.hu)
        suv = np.float32(self.suv) * np.maximum(
            1.0 + sum(np.float32(g) * u for g, u in zip(self.uptake_gradient, unit, strict=True)), np.float32(0.1)
        )
        for share, part_hu, part_suv, outside in (
            (1.0 - self.rim_share, self.rim_hu, self.rim_suv, True),
            (self.core_share, self.core_hu, self.core_suv, False),
        ):
            if share in (0.0, 1.0):
                continue
            part = occupancy((level - np.float32(share)) * scale, edge_mm)
            part = 1.0 - part if outside else part
            hu += part * (np.float32(part_hu) - hu)
            suv += part * (np.float32(part_suv) - suv)
        return filled, hu, suv


def legendre(degree: int, cosine: np.ndarray) -> np.ndarray:
    """Legendre polynomial; degrees 2 to 4, the ones used here, without scipy's slow general path."""
    square = cosine * cosine
    if degree == 2:
        return 1.5 * square - 0.5
    if degree == 3:
        return cosine * (2.5 * square - 1.5)
    if degree == 4:
        return (4.375 * square - 3.75) * square + 0.375
    return eval_legendre(degree, cosine).astype(np.float32)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniformly random rotation matrix (3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def random_harmonics(rng: np.random.Generator, irregularity: float, count: int = 6) -> tuple[Harmonic, ...]:
    """Surface modulation of about `irregularity` (standard deviation relative to the radius), degrees 2 to 4."""
    if irregularity == 0.0:
        return ()
    harmonics = []
    for _ in range(count):
        degree = int(rng.integers(2, 5))
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        # a zonal harmonic has the variance 1 / (2 l + 1) over the sphere
        amplitude = float(rng.normal()) * irregularity * np.sqrt((2 * degree + 1) / count)
        harmonics.append(Harmonic(degree, float(np.clip(amplitude, -0.15, 0.15)), tuple(float(a) for a in axis)))
    return tuple(harmonics)
