"""Ranges that random transforms draw from, and windows that images are scaled by, as users give them."""

import math
from collections.abc import Sequence


def checked_range(
    value: Sequence[float], argument: str, option: str = "", above: float = -math.inf
) -> tuple[float, float]:
    """The two ends of a range, looked at before hours of work and not at the first sample.

    Args:
        value: from-to.
        argument: what the transform calls it.
        option: what train.json calls it; "" where it has no such option.
        above: what both ends must exceed.

    Raises:
        ValueError: anything but two finite numbers above `above`, the smaller one first.
    """
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not above < low <= high < math.inf:
        where = f" (`{option}` in train.json)" if option else ""
        limit = "" if above == -math.inf else f" above {above:g}"
        raise ValueError(f"{argument}={value}{where} must be two numbers{limit}, the smaller one first")
    return low, high


def checked_window(value: Sequence[float], option: str) -> tuple[float, float]:
    """The two ends of a window of intensities.

    Args:
        value: from-to.
        option: what train.json calls it.

    Raises:
        ValueError: anything but two finite numbers, the first below the second: others scale to nothing or upside down.
    """
    low, high = checked_range(value, option)
    if low == high:
        raise ValueError(f"{option}={value} must be two numbers, the first below the second")
    return low, high
