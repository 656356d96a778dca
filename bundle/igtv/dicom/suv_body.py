"""Body weight, and the other body sizes that scanners divide by: lean mass, ideal weight, surface."""

from collections.abc import Callable

from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .suv_clock import text
from .suv_number import number

# Heavier than any patient: the number is in grams (IBSI).
LARGEST_WEIGHT_KG = 1000.0
# Taller than any patient: the number is in centimetres.
LARGEST_HEIGHT_M = 3.0
PLAUSIBLE_WEIGHT_KG = (1.0, 500.0)
PLAUSIBLE_HEIGHT_M = (0.3, 2.6)


def weight_kg(header: Dataset, decisions: list[str]) -> float:
    """Body weight.

    Raises:
        DicomError: it is missing, not positive or no patient's.
    """
    value = number(header, "PatientWeight", "SUV is activity per dose and body weight", above=0)
    if value >= LARGEST_WEIGHT_KG:
        decisions.append(f"PatientWeight {value:g} is in g instead of kg, taken so")
        value /= 1000
    return _plausible("PatientWeight", value, "kg", PLAUSIBLE_WEIGHT_KG)


def height_m(header: Dataset, decisions: list[str]) -> float:
    """Body height.

    Raises:
        DicomError: it is missing, not positive or no patient's.
    """
    value = number(header, "PatientSize", "this kind of SUV is converted by body height", above=0)
    if value > LARGEST_HEIGHT_M:
        decisions.append(f"PatientSize {value:g} is in cm instead of m, taken so")
        value /= 100
    return _plausible("PatientSize", value, "m", PLAUSIBLE_HEIGHT_M)


def _plausible(keyword: str, value: float, unit: str, limits: tuple[float, float]) -> float:
    if not limits[0] <= value <= limits[1]:
        raise DicomError(f"{tag_name(keyword)} is {value:g} {unit}, which is no patient's; SUV is not safe")
    return value


def lean_mass_morgan_kg(weight: float, height: float, male: bool) -> float:
    """SUV type LBM (DICOM PS3.16, Morgan 1994)."""
    return 1.10 * weight - 0.0120 * (weight / height) ** 2 if male else 1.07 * weight - 0.0148 * (weight / height) ** 2


def lean_mass_james_kg(weight: float, height: float, male: bool) -> float:
    """SUV type LBMJAMES128 (James 1976)."""
    return 1.10 * weight - 0.0128 * (weight / height) ** 2 if male else 1.07 * weight - 0.0148 * (weight / height) ** 2


def lean_mass_janmahasatian_kg(weight: float, height: float, male: bool) -> float:
    """SUV type LBMJANMA (Janmahasatian 2005)."""
    index = weight / height**2
    return 9270 * weight / (6680 + 216 * index) if male else 9270 * weight / (8780 + 244 * index)


def ideal_weight_kg(weight: float, height: float, male: bool) -> float:
    """SUV type IBW (Sugawara 1999)."""
    return 48.0 + 1.06 * (100 * height - 152) if male else 45.5 + 0.91 * (100 * height - 152)


def surface_cm2(weight: float, height: float) -> float:
    """SUV type BSA (DuBois 1916)."""
    return 71.84 * weight**0.425 * (100 * height) ** 0.725


BY_SEX: dict[str, Callable[[float, float, bool], float]] = {
    "LBM": lean_mass_morgan_kg,
    "LBMJAMES128": lean_mass_james_kg,
    "LBMJANMA": lean_mass_janmahasatian_kg,
    "IBW": ideal_weight_kg,
}


def to_body_weight(header: Dataset, suv_type: str, decisions: list[str]) -> float:
    """Factor from an SUV by lean mass, ideal weight or surface to SUVbw.

    Sex O takes the mean of the two sexes' masses (IBSI).

    Raises:
        DicomError: weight, height or sex is missing, or the type is not known.
    """
    if suv_type != "BSA" and suv_type not in BY_SEX:
        raise DicomError(f"{tag_name('SUVType')} {suv_type} is not known; it can be BW, BSA, {', '.join(BY_SEX)}")
    weight, height = weight_kg(header, decisions), height_m(header, decisions)
    if suv_type == "BSA":
        surface = surface_cm2(weight, height)
        decisions.append(f"SUVbsa to SUVbw by {weight:g} kg and {surface / 1e4:.3f} m2 of body surface (DuBois)")
        return 1000 * weight / surface
    sex = text(header, "PatientSex").upper()
    if sex not in ("M", "F", "O"):
        raise missing(header, "PatientSex", f"SUV type {suv_type} is converted by sex")
    masses = [BY_SEX[suv_type](weight, height, male) for male in (True, False) if sex in ("O", "M" if male else "F")]
    mass = sum(masses) / len(masses)
    if mass <= 0:
        raise DicomError(f"{suv_type} of {weight:g} kg and {height:g} m is {mass:.1f} kg; weight or height is wrong")
    mean = ", mean of both sexes" if sex == "O" else ""
    decisions.append(f"SUV type {suv_type} to SUVbw by {weight:g} kg and {mass:.2f} kg{mean}")
    return weight / mass
