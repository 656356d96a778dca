"""The merged configuration of the verb that is running, for checks and for the run manifest."""

import inspect
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

PLAIN = (str, int, float, bool, type(None))


def running_parser() -> ConfigParser:
    """Parser of the innermost workflow on the call stack; the config language has no name for "the whole config".

    Raises:
        RuntimeError: called outside a bundle workflow.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigWorkflow):
            return owner.parser
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    raise RuntimeError("this runs inside a bundle workflow only (python -m monai.bundle run ...)")


def resolved_item(key: str) -> Any:
    """Value of a top-level item that something has asked for already; None while nothing has."""
    return running_parser().ref_resolver.resolved_content.get(key)


def running_settings() -> dict[str, Any]:
    """Resolved values of the hyper-parameters: top-level keys that hold a plain value or a list of such."""
    parser = running_parser()
    settings = {}
    for key, raw in parser.config.items():
        if key in ("imports", "_meta_") or not _is_plain(raw):
            continue
        value = parser.get_parsed_content(key) if isinstance(raw, str) else raw
        if _is_plain(value):
            settings[key] = value
        elif type(value).__module__ == "torch":  # a device
            settings[key] = str(value)
    return settings


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(isinstance(entry, PLAIN) and not _is_code(entry) for entry in value)
    return isinstance(value, PLAIN)


def _is_code(entry: Any) -> bool:
    return isinstance(entry, str) and entry.startswith(("$", "@", "%"))
