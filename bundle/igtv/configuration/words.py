"""Options that take a list of words."""

from collections.abc import Sequence


def words(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """The words of an option; a single one stands for a list of one, and is never taken letter by letter.

    Args:
        value: such as ["mask", "overlay"], or "mask" as typed on a command line; None for none.
    """
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
