"""`python -m label_app models list|compare|rollback`: versions of the models, side by side, and back to an old one.

Works while a server runs: it asks for the current version at every request.
"""

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igtv.learning.current_pointer import CURRENT_FILE
from igtv.learning.model_version import ModelVersion, version_name
from igtv.learning.registry import ModelRegistry

from lib.paths import data_folders

DEFAULT_MODEL = "igtv"
NOTHING = "-"


def main(arguments: Sequence[str]) -> int:
    """Run the command line.

    Returns:
        0, or 1 after an error that is told on standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"label_app models: {error}", file=sys.stderr)
        return 1


def list_versions(options: argparse.Namespace) -> int:
    """Every version of every registry, the current one marked."""
    folder = _models_dir(options)
    names = [options.model] if options.model else _registries(folder)
    content = {}
    for name in names:
        registry = _registry(folder, name)
        current = registry.current()
        versions = registry.versions()
        content[name] = [_summary(version, version.number == current.number) for version in versions]
        if not options.json:
            print(f"{name}: current is {version_name(current.number)}, {current.card.get('name')}")
            rows = [_row(version, version.number == current.number) for version in versions]
            _print_table(("", "version", "status", "frozen Dice", "cases", "made", "SHA-256", "why"), rows)
    if options.json:
        print(json.dumps(content, indent=4))
    return 0


def compare_versions(options: argparse.Namespace) -> int:
    """Two versions side by side."""
    registry = _registry(_models_dir(options), options.model or DEFAULT_MODEL)
    comparison = registry.compare(_number(options.first), _number(options.second))
    if options.json:
        print(json.dumps(comparison, indent=4))
        return 0
    first, second = comparison["versions"]
    print(f"{first} ({comparison['status'][0]}): {comparison['names'][0]}")
    print(f"{second} ({comparison['status'][1]}): {comparison['names'][1]}")
    if not comparison["same_frozen_set"]:
        print("They were not measured on the same frozen set: their Dice cannot be compared.")
    elif not comparison["same_masks"]:
        print("They were not measured with the same choice of lesions and flips: their Dice cannot be compared.")
    rows = [(entry["case"], *map(_dice, entry["dice"]), _difference(entry["dice"])) for entry in comparison["cases"]]
    rows.append(("mean", *map(_dice, comparison["dice"]), _difference(comparison["dice"])))
    _print_table(("frozen case", first, second, "difference"), rows)
    data = comparison["data"]
    print(f"learned from: {data['both']} cases in common; only {first}: {_names(data['only_first'])}; ", end="")
    print(f"only {second}: {_names(data['only_second'])}")
    for key, (one, other) in comparison["settings"].items():
        print(f"setting {key}: {one} against {other}")
    return 0


def roll_back(options: argparse.Namespace) -> int:
    """Make an accepted version current again."""
    registry = _registry(_models_dir(options), options.model or DEFAULT_MODEL)
    before = registry.current()
    version = registry.rollback(None if options.to is None else _number(options.to), options.user or _user())
    print(f"{version.label} is current ({before.label} was): {version.card.get('name')}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m label_app models", description=__doc__.split("\n")[0])
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--studies", default="", help="folder or DICOMweb address the server was started with")
    shared.add_argument("--data_dir", default="", help="the server's data_dir, where one was given")
    shared.add_argument("--model", default=None, help="registry: igtv (default) or gtv")
    shared.add_argument("--json", action="store_true", help="for programs")
    verbs = parser.add_subparsers(required=True, metavar="list|compare|rollback")
    verbs.add_parser("list", parents=[shared], help="show all versions").set_defaults(run=list_versions)
    compare = verbs.add_parser("compare", parents=[shared], help="two versions side by side")
    compare.add_argument("first", help="number, such as 1 or v0001")
    compare.add_argument("second")
    compare.set_defaults(run=compare_versions)
    rollback = verbs.add_parser("rollback", parents=[shared], help="make an accepted version current again")
    rollback.add_argument("to", nargs="?", help="its number; default: the one the current was measured against")
    rollback.add_argument("--user", default="", help="who does it, for the history; default: the login name")
    rollback.set_defaults(run=roll_back)
    return parser


def _models_dir(options: argparse.Namespace) -> Path:
    if not options.studies and not options.data_dir:
        raise ValueError("give --studies (or --data_dir) as the server was started with")
    return data_folders(options.studies, options.data_dir or None).models


def _registries(folder: Path) -> list[str]:
    names = sorted(path.parent.name for path in folder.glob(f"*/{CURRENT_FILE}"))
    if not names:
        raise ValueError(f"{folder} holds no models: they are made when the server starts for the first time")
    return names


def _registry(folder: Path, name: str) -> ModelRegistry:
    known = _registries(folder)
    if name not in known:
        raise ValueError(f"there is no model '{name}'; there are {', '.join(known)}")
    return ModelRegistry(folder, name)


def _number(text: str) -> int:
    digits = text.removeprefix("v")
    if not digits.isdigit():
        raise ValueError(f"'{text}' is no version: a number such as 2 or v0002 is expected")
    return int(digits)


def _summary(version: ModelVersion, is_current: bool) -> dict[str, Any]:
    return {
        "version": version.number,
        "current": is_current,
        "status": version.status,
        "name": version.card.get("name"),
        "dice": version.metrics.get("dice"),
        "cases": [entry["case"] for entry in version.data],
        "created": version.manifest.get("created"),
        "sha256": version.sha256,
        "reasons": version.decision.get("reasons", []),
    }


def _row(version: ModelVersion, is_current: bool) -> tuple[str, ...]:
    return (
        "*" if is_current else "",
        version_name(version.number),
        version.status,
        _dice(version.metrics.get("dice")),
        str(len(version.data)),
        str(version.manifest.get("created", NOTHING))[:16],
        version.sha256[:12],
        "; ".join(version.decision.get("reasons", [])),
    )


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _dice(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _difference(pair: Sequence[float | None]) -> str:
    return NOTHING if None in pair else f"{pair[1] - pair[0]:+.3f}"


def _names(cases: Sequence[str]) -> str:
    return ", ".join(cases) or "none"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return ""
