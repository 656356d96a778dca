"""Who drew a label or a proposal, as its DICOM objects say it: model, version of the model, weights, bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igtv.dicom.contour_source import ContourSource
from igtv.inference.manifest import bundle_version
from igtv.learning.model_version import ModelVersion, version_name
from igtv.learning.registry import ModelRegistry

from lib.learning.models import FINE_TUNED, PRETRAINED


def source_of_label(models_dir: Path, model: Mapping[str, Any] | None) -> ContourSource:
    """SEMIAUTOMATIC with what the label was drawn from; MANUAL for one drawn from nothing.

    Args:
        models_dir: folder of the registries.
        model: `name` of a registry and `version` in it, or what a client calls a model of its own; None for nothing.
    """
    name, number = (str((model or {}).get(key) or "") for key in ("name", "version"))
    if not name:
        return ContourSource("MANUAL", version=bundle_version())
    known = _registered(models_dir, name, number)
    if known is None:
        return ContourSource("SEMIAUTOMATIC", name, bundle_version(), model_version=number)
    facts = str(known.card["name"]), bundle_version(), known.sha256, version_name(known.number)
    return ContourSource("SEMIAUTOMATIC", *facts)


def source_of_proposal(model: Mapping[str, Any] | None) -> ContourSource:
    """AUTOMATIC, by what an answer says of its model (`lib.infer.model_task.model_facts`); None: unknown."""
    name, sha256 = (str((model or {}).get(key) or "") for key in ("name", "sha256"))
    number = (model or {}).get("version")
    return ContourSource("AUTOMATIC", name, bundle_version(), sha256, version_name(number) if number else "")


def _registered(models_dir: Path, name: str, number: str) -> ModelVersion | None:
    """A version of one of the app's registries; None for a model that clients call by any name, or one that is gone."""
    if name not in (PRETRAINED, FINE_TUNED):
        return None
    try:
        return ModelRegistry(models_dir, name).version(int(number))
    except (OSError, ValueError, KeyError):
        return None
