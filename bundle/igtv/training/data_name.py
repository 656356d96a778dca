"""What the model card calls the data of a training, where the user gave no words for it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..phantom.recipe import read_recipe


def data_name(cases: Sequence[Mapping[str, str]], dataset_dir: str | Path, phantom_dir: str | Path) -> str:
    """The built-in phantom only where the cases that are learned from really are its own; else the data's folder.

    Args:
        cases: that the network learns from.
        dataset_dir: folder of the data.
        phantom_dir: folder of the built-in phantom.

    Returns:
        Such as "phantom (gtv)", "my_patients", or "cases given by lists": an annotation server gives its own lists,
        whose files lie anywhere.
    """
    phantom, folder = Path(phantom_dir).resolve(), Path(os.path.abspath(dataset_dir))
    recipe = read_recipe(phantom)
    if all(phantom in Path(case["ct"]).resolve().parents for case in cases):
        return f"phantom ({recipe['task']})" if recipe is not None else phantom.name
    return "cases given by lists" if folder.resolve() == phantom else folder.name
