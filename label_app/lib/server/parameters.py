"""Parameters of clients: only named ones, of the right kind; nothing that a configuration could execute or follow."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .errors import RequestError

MAX_TEXT, MAX_POINTS, MAX_DEPTH, MAX_ITEMS = 256, 2000, 6, 20000
TEXT = re.compile(r"[^\x00-\x1f\x7f]*")
# first characters that MONAI's configurations give a meaning to: expressions, references, macros
CONFIGURATION_MARKS = "$@%"
Check = Callable[[Any], Any]


def parse_json(text: str, what: str = "params") -> dict[str, Any]:
    """Read an object; refuse deep, long and non-finite ones.

    Args:
        text: JSON from a form field; empty for none.
        what: name of the field, for messages.

    Raises:
        RequestError: for what is no such object.
    """
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise RequestError(f"'{what}' is no valid JSON.") from None
    return plain_object(value, what)


def plain_object(value: Any, what: str = "body") -> dict[str, Any]:
    """`value` when it is an object of plain values without configuration expressions."""
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise RequestError(f"'{what}' must be a JSON object, not {type(value).__name__}.")
    _refuse_marks(value, what, 0, [0])
    return value


def _refuse_marks(value: Any, what: str, depth: int, count: list[int]) -> None:
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_ITEMS:
        raise RequestError(f"'{what}' is nested too deeply or too long.")
    if isinstance(value, str):
        if value.lstrip()[:1] and value.lstrip()[0] in CONFIGURATION_MARKS:
            raise RequestError(f"'{what}': texts must not begin with {' or '.join(CONFIGURATION_MARKS)}.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_marks(key, what, depth, count)
            _refuse_marks(item, f"{what}.{key}"[:80], depth + 1, count)
    elif isinstance(value, list):
        for item in value:
            _refuse_marks(item, what, depth + 1, count)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"'{what}' holds a number that is not finite.")


def text(value: Any) -> str:
    """A short printable text."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not TEXT.fullmatch(value):
        raise ValueError(f"must be a text of at most {MAX_TEXT} printable characters")
    return value


def optional_text(value: Any) -> str | None:
    """A short printable text or nothing: viewers without a user send null."""
    return None if value is None else text(value)


def boolean(value: Any) -> bool:
    """True or false, also as text as the option tables of viewers send it."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def number(low: float, high: float, kind: type = float) -> Check:
    """A number between bounds."""

    def check(value: Any):
        if isinstance(value, str):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        if kind is int and int(value) != value:
            raise ValueError("must be a whole number")
        return kind(value)

    return check


def one_of(*values: Any) -> Check:
    """One of the values offered; a number also where it is offered as text, and the other way round."""

    def check(value: Any):
        found = None if isinstance(value, (dict, list)) else next((own for own in values if _alike(own, value)), None)
        if found is None:
            raise ValueError(f"must be one of {', '.join(map(str, values))}")
        return found

    return check


def _alike(offered: Any, value: Any) -> bool:
    if offered == value and isinstance(offered, bool) == isinstance(value, bool):
        return True
    try:
        return not isinstance(value, bool) and float(offered) == float(value)
    except (TypeError, ValueError):
        return False


def points(value: Any) -> list[list[float]]:
    """Clicks: lists of two to four numbers."""
    if not isinstance(value, list) or len(value) > MAX_POINTS:
        raise ValueError(f"must be a list of at most {MAX_POINTS} points")
    for point in value:
        numbers = isinstance(point, list) and all(
            isinstance(item, (int, float)) and not isinstance(item, bool) and abs(item) < 1e6 for item in point
        )
        if not numbers or not 2 <= len(point) <= 4:
            raise ValueError("must be a list of points such as [x, y, z]")
    return value


def numbers(value: Any) -> list:
    """A short list of numbers, also nested once (a region of interest)."""
    flat = [item for part in value for item in (part if isinstance(part, list) else [part])] if value else []
    if len(flat) > 12 or any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in flat):
        raise ValueError("must be a list of at most 12 numbers")
    return value


def device(value: Any) -> str:
    """A device this computer has, by its own name or the one viewers show; nothing: the app's choice."""
    if value in (None, ""):
        return ""
    names = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    # viewers send what MONAI Label lists: the name of a single GPU, else name and number
    shown = {name if len(names) == 1 else f"{name}:{i}": f"cuda:{i}" for i, name in enumerate(names.values())}
    known = {**shown, **{name: name for name in names}, "cpu": "cpu", **({"cuda": "cuda"} if names else {})}
    return known[one_of(*sorted(known))(value)]


def label_list(value: Any) -> list[dict]:
    """`[{"name": ..., "idx": ..., "color": ...}]` as Slicer sends it with a label."""
    if not isinstance(value, list) or len(value) > 64 or not all(isinstance(item, dict) for item in value):
        raise ValueError('must be a list such as [{"name": "igtv", "idx": 1}]')
    for item in value:
        if "name" in item:
            text(item["name"])
    return value


COMMON: dict[str, Check] = {"client_id": optional_text, "logging": one_of("INFO", "WARNING", "ERROR")}
INFER: dict[str, Check] = {
    **COMMON,
    # viewers may send it; inference computes where the option --device of the server says
    "device": device,
    "result_extension": one_of(".nrrd", ".nii.gz", ".nii"),
    "result_dtype": one_of("uint8", "uint16", "int16", "float32"),
    "result_compress": boolean,
    "restore_label_idx": boolean,
    "foreground": points,
    "background": points,
    "label": optional_text,
    "roi": numbers,
    "slice": number(0, 1e5, int),
    "reset_state": boolean,
    "label_info": label_list,
    "selected_label_name": text,
    "save_label": boolean,
    "label_tag": one_of("original"),
}
TRAIN: dict[str, Check] = {**COMMON, "device": device, "max_epochs": number(1, 10000, int), "name": text}
LABEL: dict[str, Check] = {**COMMON, "label_info": label_list, "no_tumour": boolean, "model": text, "comment": text}


def checked(given: Mapping[str, Any], known: Mapping[str, Check], task: Any = None) -> dict[str, Any]:
    """Parameters of a client after their checks.

    Args:
        given: what the client sent, already read by `parse_json`.
        known: checks by name.
        task: of MONAI Label; the options it shows in `/info/` are taken too when the value is one of those offered or
            of the same kind.

    Raises:
        RequestError: for an unknown name or a value that does not pass.
    """
    checks = {**_offered(task), **known}
    values = {}
    for name, value in given.items():
        if name not in checks:
            raise RequestError(f"Unknown parameter {str(name)[:80]!r}; known are: {', '.join(sorted(checks))}.")
        try:
            values[name] = checks[name](value)
        except (ValueError, TypeError) as error:
            raise RequestError(f"Parameter '{name}': {error}.") from None
    return values


def _offered(task: Any) -> dict[str, Check]:
    """Checks for the options a task offers."""
    config = task.config() if task is not None and callable(getattr(task, "config", None)) else {}
    return {name: _like(value) for name, value in config.items() if name != "device"}


def _like(offered: Any) -> Check:
    """Check for a value like the one offered."""
    if isinstance(offered, (list, tuple)):
        return one_of(*offered)
    if isinstance(offered, bool):
        return boolean
    if isinstance(offered, (int, float)):
        return number(-1e9, 1e9, type(offered))
    return text
