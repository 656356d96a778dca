"""The model card: a JSON file beside a checkpoint that says what the weights are and which network they fit.

`models/model.pt` has its card in `models/model.json`. Configs take the architecture from it, so a checkpoint of any
variant loads without the user naming its parts, and every output names the model it came from.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import file_sha256, write_json

DISCLAIMER = "Research software, not a medical device. Not for diagnosis or treatment planning without expert review."
TASKS = ("gtv", "igtv")
REQUIRED = ("name", "task", "network", "spacing_mm", "hu_window", "suv_range", "sha256")
REQUIRED_NETWORK = ("variant", "fusion", "sim", "sim_radius")


def model_card_path(model_path: str | Path) -> Path:
    """Path of the card of a checkpoint: the same name with the suffix `.json`."""
    return Path(model_path).with_suffix(".json")


def write_model_card(
    model_path: str | Path,
    *,
    name: str,
    task: str,
    network: Mapping[str, Any],
    spacing_mm: Any,
    hu_window: Any,
    suv_range: Any,
    num_slices: int | None = None,
    patch_size: Any = None,
    trained_on: str = "",
    metrics: Mapping[str, Any] | None = None,
    licence: str = "",
) -> Path:
    """Write the card of a checkpoint that lies on disk already; an older card is replaced in one step.

    Args:
        model_path: the checkpoint; its SHA-256 goes into the card.
        name: what the model is, as shown in every output, e.g. "GTV demonstration model (phantom, sarcoma)".
        task: "gtv" (tumour at one moment) or "igtv" (tumour over the breathing cycle).
        network: arguments of `IGTVNetwork`, at least variant, fusion, sim and sim_radius.
        spacing_mm: voxel size the network was trained at, (x, y, z).
        hu_window: CT window mapped to [-1, 1], in HU.
        suv_range: SUVbw range mapped to [-1, 1], in g/ml.
        num_slices: slices per slab in training.
        patch_size: in-plane size (H, W) of these slabs: the window in which a 3-D CNN is to see a volume.
        trained_on: the data in words, with the attribution its licence asks for.
        metrics: results by name, e.g. {"val_dice": 0.77}.
        licence: licence of the weights.

    Returns:
        The path of the card.

    Raises:
        FileNotFoundError: when there is no checkpoint at `model_path`.
        ValueError: for an unknown task, or when an entry that the model cannot be run without is missing.
    """
    model_path = Path(model_path)
    if not model_path.is_file():
        raise FileNotFoundError(f"Model card: no checkpoint at {model_path}; save the weights before their card.")
    card = {
        "name": name,
        "task": task,
        "trained_on": trained_on,
        "network": dict(network),
        "spacing_mm": spacing_mm,
        "hu_window": hu_window,
        "suv_range": suv_range,
        "num_slices": num_slices,
        "patch_size": patch_size,
        "sha256": file_sha256(model_path),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metrics": dict(metrics or {}),
        "licence": licence,
        "disclaimer": DISCLAIMER,
    }
    _check(card, model_path)
    return write_json(model_card_path(model_path), card)


def read_model_card(model_path: str | Path) -> dict[str, Any]:
    """Read the card of a checkpoint and check that it belongs to this very file.

    Raises:
        FileNotFoundError: when there is no card, or a card without its checkpoint.
        ValueError: when the card cannot be read, lacks an entry, or describes another file.
    """
    model_path = Path(model_path)
    path = model_card_path(model_path)
    if not path.is_file():
        raise FileNotFoundError(f"No model card {path}: it says which network {model_path.name} fits. {_WAYS_OUT}")
    if not model_path.is_file():
        raise FileNotFoundError(f"Model card {path} is there, its checkpoint {model_path} is not. Check model_path.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"Model card {path} is not valid JSON ({error}). {_WAYS_OUT}") from error
    _check(card, path)
    digest = file_sha256(model_path)
    if card["sha256"] != digest:
        raise ValueError(
            f"Model card {path} describes another file: it names SHA-256 {card['sha256'][:12]}..., "
            f"{model_path.name} has {digest[:12]}.... {_WAYS_OUT}"
        )
    return card


_WAYS_OUT = (
    "Put the card that came with the checkpoint beside it, or write a new one with "
    "igtv.networks.model_card.write_model_card."
)


def _check(card: Any, path: Path) -> None:
    if not isinstance(card, dict):
        raise ValueError(f"Model card {path}: expected a JSON object, found {type(card).__name__}. {_WAYS_OUT}")
    missing = [key for key in REQUIRED if card.get(key) is None or str(card[key]) == ""]
    network = card.get("network")
    if isinstance(network, Mapping):
        missing += [f"network.{key}" for key in REQUIRED_NETWORK if key not in network]
    if missing:
        raise ValueError(f"Model card {path}: {', '.join(missing)} missing. {_WAYS_OUT}")
    if card["task"] not in TASKS:
        raise ValueError(f"Model card {path}: task is '{card['task']}'; it must be one of {', '.join(TASKS)}.")
