"""Options that are one text."""

from typing import Any


def one_text(value: Any) -> str:
    """The text of an option; one with commas arrives from a command line as a tuple: "CT,5" as ("CT", 5).

    What the command line took for a number cannot be had back letter by letter (5.00 is 5.0 then), nor blanks after a
    comma: see `without_comma_blanks`.

    Args:
        value: a text, a number, or what a command line makes of commas.
    """
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def without_comma_blanks(text: str) -> str:
    """The text without blanks around its commas, for comparing it with `one_text`."""
    return ",".join(part.strip() for part in text.split(","))
