"""Descriptions and ROI names cleaned: known words, small numbers and signs stay, dates and everything else go.

(PS3.15 E.3.5, Clean Descriptors Option.)
"""

import re
from enum import Enum
from pathlib import Path

from .dates import month_of
from .number_forms import HARMLESS, THICKNESS

_WORDS = frozenset(Path(__file__).with_name("harmless_words.txt").read_text(encoding="ascii").split())
_TOKEN = re.compile(
    rf"(?P<form>{HARMLESS})|(?P<thickness>{THICKNESS})|(?P<word>[^\W\d_]+)|(?P<number>\d+)|(?P<sign>.)",
    re.DOTALL | re.IGNORECASE,
)
_SIGNS = frozenset("_-+.,%()=/&~ ")
_HELP_SIGNS = ("_", "~")  # in front of a ROI's name they mark a help structure, as a z does
_LONGEST_NUMBER = 3  # digits; longer ones may be dates or identifiers
_MOST_NUMBERS = 2  # day, month and year are three, whatever stands between them
_JOINING = frozenset({"and", "from", "in", "no", "of", "on", "to"})  # may stand within a date, as single letters may


class _Kind(Enum):
    """What becomes of a token."""

    STAYS = 1  # whatever stands beside it
    NUMBER = 2  # may be part of a date
    PARTS = 3  # a known word, that parts numbers from each other
    JOINS = 4  # known, but parts nothing
    GOES = 5


def clean_text(text: str) -> str:
    """`GTV Miller 40.0%, 12.03.65` -> `GTV 40.0%`.

    Numbers that nothing but signs, single letters or removed words part from each other may be a date: all of them go.

    Args:
        text: as written by a person.

    Returns:
        What of it is known to say nothing about anyone; "" where nothing is.
    """
    tokens = [(_kind(found), found[0]) for found in _TOKEN.finditer(text)]
    gone = _date_like(tokens)
    kept = "".join(
        " " if kind == _Kind.GOES or index in gone or token.isspace() else token
        for index, (kind, token) in enumerate(tokens)
    )
    cleaned = re.sub(r"\s+", " ", re.sub(r"\(\s*\)", " ", kept)).strip(" -_.,/&=+~")
    first = text.lstrip()[:1]
    if first in _HELP_SIGNS:
        cleaned = first + cleaned
    return cleaned if re.search(r"[^\W_]", cleaned) else ""


def _kind(found: re.Match[str]) -> _Kind:
    token = found[0]
    if found.lastgroup == "form":
        return _Kind.STAYS
    if found.lastgroup in ("number", "thickness") or month_of(token):
        return _Kind.NUMBER
    word = token.lower()
    if len(word) > 1 and (word in _WORDS or (word[0] == "z" and word[1:] in _WORDS)):
        return _Kind.JOINS if word in _JOINING else _Kind.PARTS
    letter = len(token) == 1 and token.isascii() and token.isalpha()
    return _Kind.JOINS if letter or token in _SIGNS or token.isspace() else _Kind.GOES


def _date_like(tokens: list[tuple[_Kind, str]]) -> set[int]:
    """Indices of numbers that may be parts of a date or an identifier, and of what stands between them."""
    runs: list[list[int]] = [[]]
    for index, (kind, _) in enumerate(tokens):
        if kind == _Kind.NUMBER:
            runs[-1].append(index)
        elif kind == _Kind.PARTS:
            runs.append([])
    single = [run[0] for run in runs if len(run) == 1 and _is_short(tokens[run[0]][1])]
    numbers = {index for run in runs for index in run}
    gone = numbers - set(single if len(single) <= _MOST_NUMBERS else ())
    between = {index for run in runs if run for index in range(run[0], run[-1]) if tokens[index][0] != _Kind.STAYS}
    return gone | between


def _is_short(number: str) -> bool:
    return number.isascii() and number[0].isdigit() and len(re.split("[.,]", number)[0]) <= _LONGEST_NUMBER
