"""The registries of model versions that the app serves from."""

import atexit
import shutil
import tempfile
from pathlib import Path

from igtv.learning.registry import ModelRegistry

from ..studies.data_folder import is_only_looked_at

PRETRAINED = "gtv"
FINE_TUNED = "igtv"
SHIPPED = {PRETRAINED: "gtv.pt", FINE_TUNED: "model.pt"}


def open_models(app) -> dict[str, ModelRegistry]:
    """Registries by name: the GTV model, and the IGTV model, which learns from the labels.

    Each starts from the checkpoint shipped for it, or both from the one of the option `pretrained_model`. A card names
    what its model was trained on.

    Args:
        app: has `folders.models`, `folders.root`, `bundle_dir` and `options.pretrained_model`.

    Raises:
        FileNotFoundError: there is no such checkpoint, or none with a model card.
        ValueError: the data folder began with another checkpoint than the option names.
    """
    given = app.options.pretrained_model
    if given and not Path(given).is_file():
        raise FileNotFoundError(f"pretrained_model {given} does not exist: give the path of a checkpoint")
    registries = {name: ModelRegistry(app.folders.models, name) for name in SHIPPED}
    for registry in registries.values():  # all are asked before one of them is begun
        if given and not registry.is_empty:
            _refuse_another_start(registry, Path(given))
    for name, registry in registries.items():
        if registry.is_empty and is_only_looked_at(app.folders.root):
            registries[name] = registry = ModelRegistry(_passing_folder(), name)
        start = Path(given) if given else app.bundle_dir / "models" / SHIPPED[name]
        registry.seed(start, f"given as {start.name}" if given else "shipped with the bundle")
    return registries


def _passing_folder() -> Path:
    """A folder that goes with the process: a look at a data folder must not decide what it begins with."""
    folder = Path(tempfile.mkdtemp(prefix="igtv_look_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _refuse_another_start(registry: ModelRegistry, start: Path) -> None:
    """Labels were proposed and versions measured with the first one: another needs a data folder of its own."""
    if not registry.began_with(start):
        name = registry.version(1).card.get("name")
        raise ValueError(
            f"pretrained_model {start} is not what {registry.folder.parent} began with ('{name}'): "
            "leave the option out, or give another --data_dir"
        )
