"""Refuses a misspelt override: MONAI takes any new top-level key in silence and goes on with the default.

Every shipped config names itself in the list `config_files` (an overlay appends itself through `+config_files`).
What those files define, plus what MONAI and MONAI Label inject themselves, is known; anything else is a typing error.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from monai.bundle import ConfigParser

from .running_config import running_parser

MARKER = "config_files"

# Keys that nobody's config file holds: MONAI's own (metadata, experiment tracking, MLflow's settings) and what
# MONAI Label 0.8.5's BundleTrainTask / BundleInferTask put in.
INJECTED_KEYS = frozenset(
    {
        "_meta_",
        "bundle_root",
        "device",
        "displayable_configs",
        "tracking",
        "tracking_uri",
        "experiment_name",
        "run_name",
        "save_execute_config",
        "is_not_rank0",
        "output_dir",
        "run_id",
    }
)


def check_keys(config_dir: str | Path) -> None:
    """Compare the top-level keys of the running workflow with those of its config files.

    Meant as the first item of a verb's list.

    Args:
        config_dir: folder of the shipped config files.

    Raises:
        ValueError: an overlay was given without the file it belongs to, or a key is unknown; names the nearest one.
    """
    parser = running_parser()
    files = _config_paths(parser.config.get(MARKER, []), Path(config_dir))
    _check_base_comes_first(files, Path(config_dir))
    known = _defined_keys(files) | INJECTED_KEYS
    unknown = sorted(key for key in parser.config if key not in known)
    if unknown:
        raise ValueError(_describe_unknown(unknown, known, files))


def _config_paths(names: Iterable[str], config_dir: Path) -> list[Path]:
    """Paths of the named config files: shipped ones by name, a user's own overlay by its path."""
    paths = []
    for name in names:
        path = config_dir / name if (config_dir / name).is_file() else Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"'{MARKER}' names {name!r}, which is neither in {config_dir} nor a file")
        paths.append(path)
    return paths


def _check_base_comes_first(files: list[Path], config_dir: Path) -> None:
    """An overlay appends itself to the list of its base; without the base it stands first itself."""
    if files and f"+{MARKER}" in ConfigParser.load_config_file(str(files[0])):
        base = config_dir / "train.json"
        raise ValueError(
            f"{files[0].name} is an overlay and cannot run alone: give it after the file that it changes, "
            f"--config_file \"['{base}','{files[0]}']\""
        )


def _defined_keys(files: Iterable[Path]) -> set[str]:
    keys: set[str] = set()
    for path in files:
        for key in ConfigParser.load_config_file(str(path)):
            keys.add(key.lstrip("+").split("#")[0].split("::")[0])
    return keys


def _describe_unknown(unknown: list[str], known: Iterable[str], files: list[Path]) -> str:
    lines = []
    for key in unknown:
        near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
        lines.append(f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else ""))
    where = ", ".join(path.name for path in files)
    return f"{'; '.join(lines)} (keys are those at the top of {where}; nothing was run)"
