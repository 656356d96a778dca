"""What the weights that a training starts from say of themselves: their card, and their training's manifest.

A model has also learned what its starting weights had learned: without this, a fine-tuned model would look as if it had
never seen the patients of its pre-training, and lose the attribution that their licence asks for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import file_sha256
from ..networks.model_card import model_card_path, read_model_card

MANIFEST_NAME = "run_manifest.json"


@dataclass(frozen=True)
class StartingWeights:
    """Where a training starts.

    Attributes:
        name: of the model, or of its file where there is no card.
        sha256: of the checkpoint.
        trained_on: the data in words.
        licence: of the weights.
        images_sha256: case -> hash of its images, of all cases that the weights have learned from, as far as known.
    """

    name: str
    sha256: str
    trained_on: str
    licence: str = ""
    images_sha256: Mapping[str, str] = field(default_factory=dict)


def read_starting_weights(model_path: str | Path | None) -> StartingWeights | None:
    """Card and manifest beside a checkpoint; None: the training starts from random weights.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: the card beside it describes another file.
    """
    if model_path is None:
        return None
    path = Path(model_path)
    if not path.is_file():
        raise FileNotFoundError(f"model_path {path} does not exist: give the checkpoint to start from")
    images = training_manifest_beside(path).get("images_sha256", {})
    if not model_card_path(path).is_file():
        unknown = f"unknown data ({path.name} came without a model card)"
        return StartingWeights(path.name, file_sha256(path), unknown, images_sha256=images)
    card = read_model_card(path)
    trained_on = card.get("trained_on") or card["name"]
    return StartingWeights(card["name"], card["sha256"], trained_on, card.get("licence", ""), images)


def training_manifest_beside(model_path: str | Path) -> dict[str, Any]:
    """The manifest that the training left beside its weights; {} where there is none that can be read."""
    try:
        return dict(json.loads((Path(model_path).parent / MANIFEST_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def with_earlier_images(own: Mapping[str, str], earlier: Mapping[str, str]) -> dict[str, str]:
    """Hashes by case of two trainings; names may be shared by different images, of two phantoms for example.

    Args:
        own: of the later training.
        earlier: of the one that it started from.
    """
    merged, known = dict(own), set(own.values())
    for case, digest in earlier.items():
        if digest not in known:
            while case in merged:
                case += " (earlier)"
            merged[case] = digest
    return merged
