"""Parameters of breathing put into real patients, checked when made; sources of the values in docs/phantom.md."""

from dataclasses import asdict, dataclass, fields

BREATHING_VERSION = "2"
BREATHING_CT_KINDS = ("phase", "helical", "average")


@dataclass(frozen=True)
class BreathingSettings:
    """What a case depends on besides its source, the seed and the number of its cycle.

    Args:
        amplitude_median_mm: median of the superior-inferior amplitude, peak to peak, log-normal.
        amplitude_spread: standard deviation of its logarithm.
        amplitude_range_mm: smallest and largest amplitude.
        ct_kind_shares: how often the CT shows one breathing phase, a free-breathing scan whose phase runs on from slice
            to slice, an average of the phases.
        reference_phase: breathing phase that the source images are taken for (0 inhale, 0.5 exhale); None: random.
        num_phases: phases of the 4-D CT behind the label (2 to 16).
        pet_samples_per_cycle: samples of the time average in each breath.
        pet_cycles: breaths in a PET acquisition.
        pet_fwhm_mm: further blur of the PET; 0: none, as the source PET is already blurred by its scanner.
        fade_mm: shortest way along x, y, z over which the motion fades from the tumour to tissue at rest.
        max_strain: largest stretch or compression of tissue; wider fades keep larger motions below it.
        refuse_cut_tumours: whether a tumour that reaches a face of its image is a bad case.
    """

    amplitude_median_mm: float = 6.0
    amplitude_spread: float = 0.5
    amplitude_range_mm: tuple[float, float] = (1.0, 30.0)
    ct_kind_shares: tuple[float, float, float] = (1.0, 0.0, 0.0)
    reference_phase: float | None = None
    num_phases: int = 10
    pet_samples_per_cycle: int = 40
    pet_cycles: int = 12
    pet_fwhm_mm: float = 0.0
    fade_mm: tuple[float, float, float] = (12.0, 12.0, 30.0)
    max_strain: float = 0.6
    refuse_cut_tumours: bool = False

    def __post_init__(self):
        for name, low, high in (
            ("amplitude_median_mm", 0.1, 60),
            ("amplitude_spread", 0, 2),
            ("num_phases", 2, 16),
            ("pet_samples_per_cycle", 4, 1000),
            ("pet_cycles", 1, 1000),
            ("pet_fwhm_mm", 0, 20),
            ("max_strain", 0.05, 0.95),
        ):
            self._number(name, low, high, whole=name.startswith(("num", "pet_s", "pet_c")))
        if self.reference_phase is not None:
            self._number("reference_phase", 0, 1, whole=False)
        self._numbers("amplitude_range_mm", 2, 0.0)
        self._numbers("ct_kind_shares", 3, 0.0)
        self._numbers("fade_mm", 3, 1.0)
        if not self.amplitude_range_mm[0] <= self.amplitude_range_mm[1] <= 60:
            raise ValueError(f"amplitude_range_mm is {self.amplitude_range_mm}: 0 <= low <= high <= 60 mm is needed.")
        if not sum(self.ct_kind_shares):
            raise ValueError(f"ct_kind_shares is {self.ct_kind_shares}: at least one share must be above 0.")
        if not isinstance(self.refuse_cut_tumours, bool):
            raise ValueError(f"refuse_cut_tumours is {self.refuse_cut_tumours!r}: True or False is needed.")

    def _number(self, name: str, low: float, high: float, whole: bool):
        value = getattr(self, name)
        kinds = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            kind = "whole number" if whole else "number"
            raise ValueError(f"{name} is {value!r}: a {kind} from {low} to {high} is needed.")

    def _numbers(self, name: str, count: int, lowest: float):
        value = getattr(self, name)
        try:
            numbers = tuple(float(v) for v in value)
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != count or not all(lowest <= v < 1000 for v in numbers):
            raise ValueError(f"{name} is {value!r}: {count} numbers >= {lowest:g} are needed.")
        object.__setattr__(self, name, numbers)

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_mapping(cls, values: dict) -> "BreathingSettings":
        """Settings from named values; a name that does not exist is an error."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise TypeError(f"unknown setting {', '.join(unknown)}: known are {', '.join(sorted(known))}.")
        return cls(**values)
