"""Which settings a resumed training must share with the interrupted one."""

from collections.abc import Mapping

# Where files lie, what the machine is and what is shown; on another machine, as with `amp` and `scan_backend`, rounding
# differs, the rules of learning do not. The data are compared by the names of their cases; a phantom of another seed
# has the same names, and is refused where it lies. `model_path` may have moved, but must be there: the network is built
# from its card before the checkpoint's weights replace it.
FREE_TO_CHANGE = frozenset(
    {
        "amp",
        "backend",
        "bundle_root",
        "config_files",
        "datalist",
        "dataset_dir",
        "device",
        "is_main",
        "model_path",
        "num_pictures",
        "num_workers",
        "output_dir",
        "phantom_dir",
        "phantom_seed",
        "resume",
        "scan_backend",
        "trained_on",
        "use_tensorboard",
    }
)


def changed_settings(saved: Mapping, current: Mapping) -> list[str]:
    """Settings of a resumed run that differ from those of the interrupted one, as "key: old value -> new value".

    Args:
        saved: settings of the interrupted run.
        current: settings of this run.
    """
    keys = sorted((set(saved) | set(current)) - FREE_TO_CHANGE)
    return [
        f"{key}: {saved.get(key)!r} -> {current.get(key)!r}"
        for key in keys
        if _plain(saved.get(key)) != _plain(current.get(key))
    ]


def _plain(value: object) -> object:
    """Tuples and lists of the same values are the same setting."""
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
