"""The registries of model versions that the app serves from."""

from pathlib import Path

from igtv.learning.registry import ModelRegistry

PRETRAINED = "gtv"
FINE_TUNED = "igtv"
SHIPPED = {PRETRAINED: "gtv.pt", FINE_TUNED: "model.pt"}


def open_models(app) -> dict[str, ModelRegistry]:
    """Registries by name: the GTV model, and the IGTV model, which learns from the labels.

    Each starts from the checkpoint shipped for it, or both from the one of the option `pretrained_model`. A card names
    what its model was trained on.

    Args:
        app: has `folders.models`, `bundle_dir` and `options.pretrained_model`.

    Raises:
        FileNotFoundError: there is no such checkpoint, or none with a model card.
        ValueError: the data folder began with another checkpoint than the option names.
    """
    given = app.options.pretrained_model
    if given and not Path(given).is_file():
        raise FileNotFoundError(f"pretrained_model {given} does not exist: give the path of a checkpoint")
    registries = {name: ModelRegistry(app.folders.models, name) for name in SHIPPED}
    for name, registry in registries.items():
        start = Path(given) if given else app.bundle_dir / "models" / SHIPPED[name]
        registry.seed(start, f"given as {start.name}" if given else "shipped with the bundle")
        if given:
            _refuse_another_start(registry, start)
    return registries


def _refuse_another_start(registry: ModelRegistry, start: Path) -> None:
    """Labels were proposed and versions measured with the first one: another needs a data folder of its own."""
    if not registry.began_with(start):
        name = registry.version(1).card.get("name")
        raise ValueError(
            f"pretrained_model {start} is not what {registry.folder.parent} began with ('{name}'): "
            "leave the option out, or give another --data_dir"
        )
