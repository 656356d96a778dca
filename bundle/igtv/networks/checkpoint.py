"""Weights from a file into the network, with a report of what matched."""

import argparse
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from .key_map import CLASSIFIER, own_name, without_wrappers

# Where training programs keep the weights inside their file.
_CONTAINERS = ("model", "network", "net", "state_dict", "model_state_dict")

# Modules that start as the identity, so that a checkpoint made without them gives the same function.
_STARTS_AS_IDENTITY = ("sim.", "prompt_stem.")

_NAMES_SHOWN = 8


@dataclass
class LoadReport:
    """What became of every weight.

    Attributes:
        path: the file.
        loaded: names in the network that got their value from the file.
        missing: names in the network that the file does not have.
        unexpected: names in the file that the network does not have.
        mismatched: names found in both with different shapes, with the two shapes.
        ignored: names of an ImageNet classifier, which no segmentation network has.
        anew: names that fit, of a module that starts as the identity and of which not everything fits: not loaded.
    """

    path: Path
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True when nothing is left over but modules that start as the identity and an ImageNet classifier."""
        return bool(self.loaded) and not (self.unexpected or self.mismatched or self.harmful_missing)

    @property
    def harmful_missing(self) -> list[str]:
        """Missing names, without modules of which the file has nothing at all and which start as the identity."""
        absent = [part for part in _STARTS_AS_IDENTITY if not any(name.startswith(part) for name in self.loaded)]
        return [name for name in self.missing if not name.startswith(tuple(absent))]

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.loaded)} weights loaded"]
        for title in ("missing", "unexpected", "mismatched", "ignored", "anew"):
            names = getattr(self, title)
            if names:
                shown = ", ".join(names[:_NAMES_SHOWN])
                more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
                lines.append(f"  {len(names)} {title}: {shown}{more}")
        return "\n".join(lines)


def load_weights(network: nn.Module, path: str | Path, allow_partial: bool = False) -> LoadReport:
    """Load a checkpoint of ours, CIPA's published file or an ImageNet VMamba (v0) file into the network.

    Names are translated by `key_map`, prefixes of DistributedDataParallel, Lightning and torch.compile are taken off.
    A file without slice interaction or prompt stem loads into a network that has them: they start as the identity.

    Args:
        network: takes the weights, in place; unchanged when an error is raised.
        path: the file.
        allow_partial: load what fits although names are missing, left over or of another shape. Slice interaction and
            prompt stem are loaded whole or not at all.

    Returns:
        What matched and what did not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, it fits only in part (or, with `allow_partial`, not at all), or a weight
            is NaN or infinite: some ways of computing hide that and give masks that look like any other.
    """
    path = Path(path)
    weights = read_weights(path)
    own = network.state_dict()
    prefix_of_own = {without_wrappers(name): name for name in own}  # the network itself may be wrapped
    report = LoadReport(path)
    chosen: dict[str, Tensor] = {}
    for foreign, value in weights.items():
        name = prefix_of_own.get(own_name(foreign))
        if name is None:
            classifier = CLASSIFIER.fullmatch(without_wrappers(foreign))
            (report.ignored if classifier else report.unexpected).append(foreign)
        elif own[name].shape != value.shape:
            report.mismatched.append(f"{name} {tuple(value.shape)} in the file, {tuple(own[name].shape)} here")
        elif name in chosen:
            raise ValueError(f"{path}: two entries of the file stand for {name}; it mixes several networks")
        elif value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"{path}: {foreign} holds NaN or infinite numbers, so the training went wrong or the file is damaged; "
                "take the weights of an earlier epoch, or train again with a lower learning_rate"
            )
        else:
            chosen[name] = value
            report.loaded.append(name)
    mismatched = {text.split(" ", 1)[0] for text in report.mismatched}
    report.missing = [name for name in own if name not in chosen and name not in mismatched]
    if not chosen:
        raise ValueError(f"wrong checkpoint: none of its names is in the network\n{report}")
    if not report.complete and not allow_partial:
        raise ValueError(
            "wrong checkpoint: it fits the network only in part; check variant, fusion and sim, or set "
            f"allow_partial (of a training: allow_partial_weights) to load what fits\n{report}"
        )
    _leave_halves(own, chosen, report)
    network.load_state_dict(chosen, strict=False)
    return report


def _leave_halves(own: Mapping[str, Tensor], chosen: dict[str, Tensor], report: LoadReport) -> None:
    """Half of a module that starts as the identity is neither that nor what was trained: it starts as a new one.

    The two forms of slice interaction share names and shapes of their output, trained scale and all, not the rest.
    """
    for part in _STARTS_AS_IDENTITY:
        names = [name for name in own if without_wrappers(name).startswith(part)]
        if all(name in chosen for name in names):
            continue
        halves = [name for name in names if chosen.pop(name, None) is not None]
        report.anew += halves
        report.loaded = [name for name in report.loaded if name not in halves]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint file without running code from it.

    CIPA's file holds an argparse.Namespace, which is the one class allowed besides tensors and plain containers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no checkpoint, or holds objects that are not allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} is not a checkpoint that can be read safely: {reason}") from error
    for container in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
            break
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__} and no named weights")
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(
            f"{path} holds no weights; its entries are {', '.join(map(str, list(content)[:_NAMES_SHOWN]))}"
        )
    return weights
