"""The registries of model versions that the app serves from."""

from igtv.learning.registry import ModelRegistry

PRETRAINED = "gtv"
FINE_TUNED = "igtv"


def open_models(app) -> dict[str, ModelRegistry]:
    """Registries by name: the pre-trained GTV model, and the one that learns from the labels.

    Both start from the shipped checkpoint. Its card names what it was trained on, so the second one is called a GTV
    model until a fine-tuned version has been accepted.

    Args:
        app: has `folders.models` and `bundle_dir`.

    Raises:
        FileNotFoundError: the bundle has no checkpoint, or one without a model card.
    """
    shipped = app.bundle_dir / "models" / "model.pt"
    registries = {name: ModelRegistry(app.folders.models, name) for name in (PRETRAINED, FINE_TUNED)}
    registries[PRETRAINED].seed(shipped, "shipped with the bundle")
    registries[FINE_TUNED].seed(shipped, "the pre-trained GTV model, where fine-tuning starts")
    return registries
