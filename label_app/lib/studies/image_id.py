"""Ids of images: what may be one, and the id under which the PET of a case is asked for."""

import re

PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PET_SUFFIX = "__pet"


def is_image_id(text: object) -> bool:
    """Whether a text can be an id; such a text is also safe as the name of a file."""
    return isinstance(text, str) and bool(PATTERN.fullmatch(text)) and ".." not in text


def as_image_id(name: str) -> str:
    """A case name (of a datalist) as an id.

    Raises:
        ValueError: nothing of it can be used.
    """
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-").replace("..", "._")[:120]
    if not is_image_id(text):
        raise ValueError(f"case name {name!r} cannot be an image id: use letters, digits, '.', '_' and '-'")
    return text
