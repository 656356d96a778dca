"""How a CT was taken, by what its header says."""

import re

from .phases import phase_of
from .series import Series

FREE_BREATHING = "free breathing"
AVERAGE = "average"
MIP = "MIP"
PHASE = "phase"

_AVERAGE = re.compile(r"(?<![a-z])(aip|ave?-?ip|avg|ave|average|mean|untagged)(?![a-z])", re.IGNORECASE)
_MIP = re.compile(r"(?<![a-z])(mip|max(imum)?[ _-]?(ip|intensity|projection))(?![a-z])", re.IGNORECASE)
_MIN_IP = re.compile(r"(?<![a-z])min[ _-]?ip(?![a-z])", re.IGNORECASE)


def ct_kind(series: Series) -> tuple[str, str]:
    """Kind of a CT and the words for the log.

    Args:
        series: CT series.

    Returns:
        One of "free breathing", "average", "MIP", "phase", and how that was found.
    """
    text = " ".join((series.description, _image_type(series), str(series.headers[0].get("ImageComments") or "")))
    if _MIP.search(text):
        return MIP, "MIP by its description or image type"
    if _AVERAGE.search(text):
        return AVERAGE, "average by its description or image type"
    name = phase_of(series)
    if name is not None:
        return PHASE, f"phase {name} by its tags or description"
    return FREE_BREATHING, "no phase, average or MIP in its header: taken as free breathing"


def is_projection(series: Series) -> bool:
    """A minimum-intensity projection over the phases is no anatomy to draw on."""
    return bool(_MIN_IP.search(f"{series.description} {_image_type(series)}"))


def _image_type(series: Series) -> str:
    value = series.headers[0].get("ImageType")
    return value if isinstance(value, str) else " ".join(map(str, value or ()))
