"""Descriptions and ROI names cleaned: known words, small numbers and signs stay, everything else goes.

(PS3.15 E.3.5, Clean Descriptors Option.)
"""

import re
from pathlib import Path

_WORDS = frozenset(Path(__file__).with_name("harmless_words.txt").read_text(encoding="ascii").split())
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?|\s+|.", re.DOTALL)
_SIGNS = frozenset("_-+.,%()=/& ")
_LONGEST_NUMBER = 3  # digits before the point: longer ones may be dates or identifiers


def clean_text(text: str) -> str:
    """`GTV Miller 40.0%` -> `GTV 40.0%`.

    Args:
        text: as written by a person.

    Returns:
        What of it is known to say nothing about anyone; "" where nothing is.
    """
    kept = []
    for token in _TOKEN.findall(text):
        if token.isspace():
            kept.append(" ")
        elif token[0].isdigit():
            kept.append(token if len(re.split("[.,]", token)[0]) <= _LONGEST_NUMBER else " ")
        elif token.lower() in _WORDS or len(token) == 1 and (token in _SIGNS or token.isascii() and token.isalpha()):
            kept.append(token)
        else:
            kept.append(" ")
    cleaned = re.sub(r"\s+", " ", "".join(kept)).strip(" -_.,/&=+")
    return cleaned if re.search(r"[^\W_]", cleaned) else ""
