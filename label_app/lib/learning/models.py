"""The registries of model versions that the app serves from."""

from pathlib import Path

from igtv.learning.registry import ModelRegistry

PRETRAINED = "gtv"
FINE_TUNED = "igtv"


def open_models(app) -> dict[str, ModelRegistry]:
    """Registries by name: the pre-trained GTV model, and the one that learns from the labels.

    Both start from the shipped checkpoint, or the one of the option `pretrained_model`. Its card names what it was
    trained on, so the second one is called a GTV model until a fine-tuned version has been accepted.

    Args:
        app: has `folders.models`, `bundle_dir` and `options.pretrained_model`.

    Raises:
        FileNotFoundError: there is no such checkpoint, or none with a model card.
        ValueError: the data folder began with another checkpoint than the option names.
    """
    given = app.options.pretrained_model
    start = Path(given) if given else app.bundle_dir / "models" / "model.pt"
    if given and not start.is_file():
        raise FileNotFoundError(f"pretrained_model {start} does not exist: give the path of a checkpoint")
    registries = {name: ModelRegistry(app.folders.models, name) for name in (PRETRAINED, FINE_TUNED)}
    registries[PRETRAINED].seed(start, f"given as {start.name}" if given else "shipped with the bundle")
    registries[FINE_TUNED].seed(start, "the pre-trained model, where fine-tuning starts")
    if given:
        _refuse_another_start(registries[PRETRAINED], start)
    return registries


def _refuse_another_start(registry: ModelRegistry, start: Path) -> None:
    """Labels were proposed and versions measured with the first one: another needs a data folder of its own."""
    if not registry.began_with(start):
        name = registry.version(1).card.get("name")
        raise ValueError(
            f"pretrained_model {start} is not what {registry.folder.parent} began with ('{name}'): "
            "leave the option out, or give another --data_dir"
        )
