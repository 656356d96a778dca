"""Refuses a misspelt override: MONAI takes any new top-level key in silence and goes on with the default.

Every shipped config names itself in the list `config_files` (an overlay appends itself through `+config_files`).
What those files define, plus what MONAI and MONAI Label inject themselves, is known; anything else is a typing error.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from monai.bundle import ConfigParser

from ..processes import bound_threads
from .error_summary import show_cause_last
from .path_options import restore_paths
from .running_config import running_parser

MARKER = "config_files"
CONFIG_DIR = Path(__file__).resolve().parents[2] / "configs"

# Keys that nobody's config file holds: the metadata, what MONAI's experiment tracking and federated learning set, and
# what MONAI Label 0.8.5's BundleTrainTask and BundleInferTask put in.
INJECTED_KEYS = frozenset(
    {
        "_meta_",
        "displayable_configs",
        "use_click",
        "tracking_uri",
        "experiment_name",
        "run_name",
        "save_execute_config",
        "is_not_rank0",
    }
)


def check_keys() -> None:
    """Compare the top-level keys of the running workflow with those of its config files.

    Meant as the first item of a verb's list. It takes no argument, so that nothing of the config has to be sound for
    it to run. From here on an error that ends the process has its cause as its last line, PyTorch keeps to the
    processors it may use, and path options are texts, whatever the command line made of them.

    Raises:
        ValueError: an overlay was given without or before the file it belongs to, one that would make the verb do
            something else was given after another, a key is unknown (names the nearest one), or a path is a number.
        FileNotFoundError: a config names itself wrongly.
    """
    show_cause_last()
    bound_threads()
    parser = running_parser()
    files = _config_paths(parser.config.get(MARKER, []))
    _check_base_comes_first(files)
    _check_no_run_is_replaced(files)
    keys = {path: _defined_keys(path) for path in files}
    known = INJECTED_KEYS.union(*keys.values())
    unknown = sorted(key for key in parser.config if key not in known)
    if unknown:
        raise ValueError(_describe_unknown(unknown, known, files))
    restore_paths(parser)


def _config_paths(names: Iterable[str]) -> list[Path]:
    """Paths of the named config files: shipped ones by name, a user's own overlay by its path."""
    paths = []
    for name in names:
        path = CONFIG_DIR / name if (CONFIG_DIR / name).is_file() else Path(name)
        if not path.is_file():
            raise FileNotFoundError(
                f"'{MARKER}' names {name!r}, which is neither among the shipped configs nor a file: an overlay of "
                f'your own names itself by its path, "+{MARKER}": ["path/to/it.json"]'
            )
        paths.append(path)
    return paths


def _check_base_comes_first(files: list[Path]) -> None:
    """An overlay appends itself to the list of its base; without the base it stands first itself."""
    if files and _is_overlay(files[0]):
        raise ValueError(_alone(files[0].name))


def _check_no_run_is_replaced(files: list[Path]) -> None:
    """Overlays of settings repeat the `run` of train.json: after evaluate.json, `evaluating` would train.

    An overlay of a user's own may replace a `run`, unless by that of the first file.
    """
    runs = {path: ConfigParser.load_config_file(str(path)).get("run") for path in files}
    base = runs[files[0]] if files else None
    own = None  # the last file that brought another `run` than the first one
    for path in files[1:]:
        if runs[path] is None or runs[path] == runs.get(own):
            continue
        if own is not None and runs[path] == base:
            raise ValueError(
                f"{path.name} comes after {own.name} and puts its own `run` in the place of that one's, so that the "
                f"verb would do what {files[0].name} does: give {own.name} last"
            )
        if own is not None and path.is_relative_to(CONFIG_DIR):
            raise ValueError(f"{own.name} and {path.name} each bring their own `run`: give one of the two")
        if runs[path] != base:
            own = path


def _is_overlay(path: Path) -> bool:
    return f"+{MARKER}" in ConfigParser.load_config_file(str(path))


def _alone(name: str) -> str:
    return (
        f"{name} is an overlay and cannot run alone: give it after the file that it changes, "
        f"--config_file \"['.../configs/train.json','.../configs/{name}']\""
    )


def _defined_keys(path: Path) -> set[str]:
    """Top-level keys of a config file; `a#b` changes a part of `a`, `+a` adds to it."""
    return {key.lstrip("+").split("#")[0].split("::")[0] for key in ConfigParser.load_config_file(str(path))}


def _describe_unknown(unknown: list[str], known: Iterable[str], files: list[Path]) -> str:
    elsewhere = _keys_of_other_configs(files)
    lines = []
    for key in unknown:
        near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
        if key in elsewhere:
            lines.append(f"unknown key '{key}': it belongs to {elsewhere[key]}, give that file too, after train.json")
        elif near:
            lines.append(f"unknown key '{key}', did you mean '{near[0]}'?")
        else:
            lines.append(f"unknown key '{key}'")
    sentence = "; ".join(lines)
    where = ", ".join(path.name for path in files) or f"(no file: '{MARKER}' is empty)"
    return (
        f"{sentence}{'' if sentence.endswith('?') else '.'} Nothing was run. "
        f"Known are the keys at the top of {where}; an overlay of your own that brings new ones names itself, "
        f'"+{MARKER}": ["path/to/it.json"]'
    )


def _keys_of_other_configs(files: list[Path]) -> Mapping[str, str]:
    """Key -> name of the shipped overlay that has it, for overlays that are not among `files`."""
    others = [path for path in CONFIG_DIR.rglob("*.json") if path not in files and _is_overlay(path)]
    return {key: path.name for path in sorted(others, reverse=True) for key in _defined_keys(path)}
