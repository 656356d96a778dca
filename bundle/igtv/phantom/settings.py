"""Parameters of the phantom, checked when made; sources of the values in docs/phantom.md."""

from dataclasses import asdict, dataclass, fields, replace

GENERATOR_VERSION = "1"
TASKS = ("gtv", "igtv")
CT_KINDS = ("phase", "average", "exhale")
LOBES = ("upper", "middle", "lower")

# median SI amplitude in mm by lobe: `igtv` after Seppenwoolde 2002 and Liu 2007, `gtv` nearly static
AMPLITUDE_MEDIAN_MM = {"gtv": (1.0, 1.5, 2.0), "igtv": (3.0, 6.0, 10.0)}
AMPLITUDE_CAP_MM = {"gtv": 5.0, "igtv": 30.0}
CT_KIND_SHARES = {"gtv": (0.6, 0.0, 0.4), "igtv": (0.5, 0.3, 0.2)}

SMALLEST_FIELD_MM = (300.0, 220.0, 100.0)


@dataclass(frozen=True)
class PhantomSettings:
    """What a case depends on besides its seed and number.

    Args:
        task: "gtv" (label: the tumour as the CT shows it) or "igtv" (label: union of the tumour over all phases).
        image_size: voxels of the CT grid along x, y, z.
        spacing_mm: voxel size of the CT grid.
        pet_spacing_mm: voxel size of the stored PET.
        num_phases: phases of the 4-D CT behind label and per-phase truth (2 to 16: one bit each).
        amplitude_median_mm: median SI amplitude (peak to peak) for upper, middle and lower lobe; None: by task.
        amplitude_cap_mm: largest SI amplitude; None: by task.
        amplitude_spread: standard deviation of the logarithm of the amplitude.
        ct_kind_shares: how often the CT is one breathing phase, an average, an exhale; None: by task.
        diameter_median_mm: median tumour diameter.
        diameter_range_mm: smallest and largest tumour diameter.
        tumour_suv_median: median uptake of the tumour in SUVbw.
        tumour_suv_range: smallest and largest uptake.
        ct_noise_hu: range of the standard deviation of the CT noise.
        pet_fwhm_mm: range of the PET resolution (full width at half maximum, voxel included).
        pet_noise: range of the coefficient of variation of the noise in the liver.
        pet_samples_per_cycle: samples of the time average in each breath (at least 40).
        pet_cycles: breaths in a PET acquisition.
        misregistration_mm: largest shift between PET and CT along any axis; it is normal with a standard deviation of
            0.4 of that along z and 0.2 in the plane.
        distractors: whether there are hot nodes, avid myocardium, bone lesions, atelectasis and so on.
    """

    task: str = "igtv"
    image_size: tuple[int, int, int] = (112, 112, 48)
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0)
    pet_spacing_mm: tuple[float, float, float] = (4.0, 4.0, 3.0)
    num_phases: int = 10
    amplitude_median_mm: tuple[float, float, float] | None = None
    amplitude_cap_mm: float | None = None
    amplitude_spread: float = 0.5
    ct_kind_shares: tuple[float, float, float] | None = None
    diameter_median_mm: float = 28.0
    diameter_range_mm: tuple[float, float] = (12.0, 60.0)
    tumour_suv_median: float = 8.0
    tumour_suv_range: tuple[float, float] = (3.0, 25.0)
    ct_noise_hu: tuple[float, float] = (20.0, 40.0)
    pet_fwhm_mm: tuple[float, float] = (5.0, 7.0)
    pet_noise: tuple[float, float] = (0.10, 0.15)
    pet_samples_per_cycle: int = 40
    pet_cycles: int = 12
    misregistration_mm: float = 5.0
    distractors: bool = True

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}: choose one of {', '.join(TASKS)}.")
        for name in ("image_size", "spacing_mm", "pet_spacing_mm"):
            self._triple(name)
        for name, by_task in (
            ("amplitude_median_mm", AMPLITUDE_MEDIAN_MM),
            ("amplitude_cap_mm", AMPLITUDE_CAP_MM),
            ("ct_kind_shares", CT_KIND_SHARES),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, by_task[self.task])
        for name in ("amplitude_median_mm", "ct_kind_shares"):
            self._triple(name, allow_zero=True)
        for name in ("diameter_range_mm", "tumour_suv_range", "ct_noise_hu", "pet_fwhm_mm", "pet_noise"):
            self._range(name)
        self._check_scalars()
        self._check_field()

    def _triple(self, name: str, allow_zero: bool = False):
        value = getattr(self, name)
        kind = int if name == "image_size" else float
        try:
            triple = tuple(kind(v) for v in value)
        except (TypeError, ValueError):
            triple = ()
        if len(triple) != 3 or any(v < 0 or (v == 0 and not allow_zero) or v != w for v, w in zip(triple, value)):  # noqa: B905
            whole = "whole numbers" if kind is int else "numbers"
            raise ValueError(f"{name} is {value!r}: three {whole} {'>=' if allow_zero else '>'} 0 are needed.")
        object.__setattr__(self, name, triple)

    def _range(self, name: str):
        value = getattr(self, name)
        try:
            low, high = (float(v) for v in value)
        except (TypeError, ValueError):
            low, high = 1.0, 0.0
        if not 0.0 <= low <= high:
            raise ValueError(f"{name} is {value!r}: two numbers, 0 <= low <= high, are needed.")
        object.__setattr__(self, name, (low, high))

    def _check_scalars(self):
        for name, low, high in (
            ("num_phases", 2, 16),
            ("amplitude_cap_mm", 0, 60),
            ("amplitude_spread", 0, 2),
            ("diameter_median_mm", 4, 100),
            ("tumour_suv_median", 0.5, 50),
            ("pet_samples_per_cycle", 40, 1000),
            ("pet_cycles", 1, 1000),
            ("misregistration_mm", 0, 20),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}: a number from {low} to {high} is needed.")
            if name in ("num_phases", "pet_samples_per_cycle", "pet_cycles") and value != int(value):
                raise ValueError(f"{name} is {value!r}: a whole number is needed.")
        if not isinstance(self.distractors, bool):
            raise ValueError(f"distractors is {self.distractors!r}: True or False is needed.")
        if self.diameter_range_mm[0] < 4.0 or self.diameter_range_mm[1] > 100.0:
            raise ValueError(f"diameter_range_mm is {self.diameter_range_mm}: it must lie within 4 to 100 mm.")
        if sum(self.ct_kind_shares) <= 0:
            raise ValueError(f"ct_kind_shares is {self.ct_kind_shares}: at least one share must be above 0.")
        if self.task == "gtv" and self.ct_kind_shares[1] > 0:
            raise ValueError("ct_kind_shares: task 'gtv' labels the tumour at the CT's phase, an average CT has none.")
        if max(self.spacing_mm) > 8.0 or max(self.pet_spacing_mm) > 8.0:
            raise ValueError(f"spacing_mm {self.spacing_mm}, pet_spacing_mm {self.pet_spacing_mm}: at most 8 mm.")
        if self.pet_fwhm_mm[0] < 0.8 * max(self.pet_spacing_mm):
            raise ValueError(
                f"pet_fwhm_mm {self.pet_fwhm_mm} is finer than pet_spacing_mm {self.pet_spacing_mm} can carry: "
                "use a resolution of at least 0.8 voxels."
            )

    def _check_field(self):
        field_mm = tuple(n * s for n, s in zip(self.image_size, self.spacing_mm, strict=True))
        needed = (*SMALLEST_FIELD_MM[:2], max(SMALLEST_FIELD_MM[2], self.diameter_range_mm[1] + self.amplitude_cap_mm))
        if any(have < need for have, need in zip(field_mm, needed, strict=True)):
            raise ValueError(
                f"image_size {self.image_size} at spacing_mm {self.spacing_mm} covers "
                f"{' x '.join(f'{v:g}' for v in field_mm)} mm; the phantom needs at least "
                f"{' x '.join(f'{v:g}' for v in needed)} mm: enlarge one of the two."
            )

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_mapping(cls, values: dict) -> "PhantomSettings":
        """Settings from named values; a name that does not exist is an error."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise TypeError(f"unknown phantom setting {', '.join(unknown)}: known are {', '.join(sorted(known))}.")
        return replace(cls(task=values.get("task", cls.task)), **_without_none(values)) if values else cls()


def _without_none(values: dict) -> dict:
    return {k: v for k, v in values.items() if v is not None}
