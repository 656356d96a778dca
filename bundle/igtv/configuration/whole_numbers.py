"""One check for every setting that counts something."""

from numbers import Integral


def whole_number(name: str, value: object, lowest: int) -> int:
    """The value, if it is a whole number of at least `lowest`; a truth value is none.

    Args:
        name: of the setting, for the error.
        value: what was given for it.
        lowest: smallest value allowed.

    Raises:
        ValueError: it is something else; the text names setting and value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name} is {value!r}: a whole number from {lowest} is needed")
    return int(value)
