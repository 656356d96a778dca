"""Names that clients may send: of images, label tags, models, strategies, sessions, users, file endings."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from lib.studies.image_id import is_image_id

from .errors import RequestError

TAG = re.compile(r"[a-z][a-z0-9_-]{0,31}")
SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd")
LABEL_ENDINGS = (*VOLUME_ENDINGS, ".bin")


def _checked(value: Any, pattern: re.Pattern, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value:
        raise RequestError(f"{str(value)[:80]!r} is no valid {what}.")
    return value


def image_id(value: Any) -> str:
    """Id of a case: letters, digits, `.`, `_`, `-`; at most 128.

    Raises:
        RequestError: for anything else.
    """
    if not is_image_id(value):
        raise RequestError(f"{str(value)[:80]!r} is no valid image id.")
    return value


def tag(value: Any) -> str:
    """Tag of a label, as `final`."""
    return _checked(value or "final", TAG, "label tag")


def session_id(value: Any) -> str:
    """Id of a session, as the server gave it."""
    return _checked(value, SESSION_ID, "session id")


def known(name: Any, offered: Mapping | Collection, what: str) -> str:
    """`name`, when the app offers it.

    Raises:
        RequestError: 404 with the names that there are.
    """
    if not isinstance(name, str) or name not in offered:
        raise RequestError(f"There is no {what} {str(name)[:80]!r}; there are: {', '.join(sorted(offered))}.", 404)
    return name


def file_ending(name: Any, allowed: Collection[str] = VOLUME_ENDINGS) -> str:
    """Ending of a file name that the server takes; nothing else of a client's file name is used.

    Raises:
        RequestError: for another ending.
    """
    lower = str(name or "").lower()
    for ending in sorted(allowed, key=len, reverse=True):
        if lower.endswith(ending):
            return ending
    raise RequestError(f"File {str(name)[:80]!r} has no ending that is taken here ({', '.join(allowed)}).", 415)
