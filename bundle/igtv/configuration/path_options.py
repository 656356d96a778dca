"""Options that are paths, where the command line made something else of one: `--dicom_dir 2024` becomes a number."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser

ENDINGS = ("_dir", "_path", "_file", "datalist")
NAMES = ("mask", "reference_dicom", "probability", "compare", "aliases")


def restore_paths(parser: ConfigParser) -> None:
    """Put the text that was typed back into the path options of a running workflow; nothing may have used them yet.

    Args:
        parser: of the workflow. Its command line is looked at, since 2024_01 is the number 202401 to it.

    Raises:
        ValueError: an option is a number and was not typed on the command line (an args file, Python); names it.
    """
    for name, value in list(parser.config.items()):
        if not _is_path_option(name) or value is None or isinstance(value, str | os.PathLike | Mapping):
            continue
        text = typed(name, sys.argv)
        if text is None and not isinstance(value, list | tuple):
            raise ValueError(
                f"{name} is {value!r}, which is no text: give the path in quotes, or on the command line with ./ "
                f"before it, such as --{name} ./2024_01"
            )
        if text is not None:
            parser.config[name] = text
            parser.ref_resolver.remove_resolved_content(name)
            item = parser.ref_resolver.items.get(name)
            if item is not None:
                item.update_config(text)


def typed(name: str, words: Sequence[str]) -> str | None:
    """What a command line holds for an option, letter by letter, as `--name text` or `--name=text`; the last counts."""
    found = None
    for position, word in enumerate(words):
        option, given, text = word.lstrip("-").partition("=")
        if not word.startswith("-") or option.replace("-", "_") != name:
            continue
        if given:
            found = text
        elif position + 1 < len(words):
            found = words[position + 1]
    return found


def _is_path_option(name: Any) -> bool:
    return str(name).endswith(ENDINGS) or name in NAMES
