"""Private attributes of scanner makers that SUV needs.

De-identification often drops the element that names the owner of a private block; the attribute is then looked for in
the block that all makers use in practice (0x10).
"""

from datetime import datetime

from pydicom.dataset import Dataset

from .suv_clock import UNDATED, parse_datetime, parse_time

GE_SCAN_TIME = (0x0009, 0x0D, "GEMS_PETD_01")
SIEMENS_DECAY_TIME = (0x0071, 0x22, "SIEMENS MED PT")
PHILIPS_SUV_FACTOR = (0x7053, 0x00, "Philips PET Private Group")
PHILIPS_ACTIVITY_FACTOR = (0x7053, 0x09, "Philips PET Private Group")
_USUAL_BLOCK = 0x10


def private_number(header: Dataset, where: tuple[int, int, str]) -> float | None:
    """A number, or None where it is absent, unreadable or not above 0 (makers write 0 for "unknown")."""
    text = _text(header, where)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def private_datetime(header: Dataset, where: tuple[int, int, str]) -> datetime | None:
    """A date with time, or None where it is absent or unreadable; a mere time gets a day that means nothing."""
    found = _text(header, where)
    time = parse_time(found)
    return UNDATED + time if time is not None else parse_datetime(found)


def _text(header: Dataset, where: tuple[int, int, str]) -> str:
    group, element, owner = where
    for block in range(_USUAL_BLOCK, 0x100):
        creator = header.get((group, block))
        named = creator is not None and str(creator.value).strip() == owner
        orphan = block == _USUAL_BLOCK and creator is None
        if not named and not orphan:
            continue
        found = header.get((group, (block << 8) | element))
        if found is None or found.value is None:
            continue
        value = found.value
        return value.decode("ascii", "ignore").strip("\0 ") if isinstance(value, bytes) else str(value).strip()
    return ""
