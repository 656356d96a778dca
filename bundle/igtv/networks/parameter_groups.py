"""Which parameters learn, how fast, and with how much weight decay."""

from collections.abc import Sequence

from torch import nn

from .key_map import without_wrappers

# Parts a training can rest, and the modules and parameters each consists of.
PARTS: dict[str, tuple[str, ...]] = {
    "encoder": ("encoder", "modality_embedding"),
    "fusion": ("fusion",),
    "sim": ("sim",),
    "decoder": ("decoder", "head", "detail_stem"),
}

# Last names of parameters with two or more axes that are no projection: scan parameters, slice weights, embeddings.
_NEVER_DECAYED = ("A_logs", "Ds", "w_o", "offset_bias", "modality_embedding")


def param_groups(
    network: nn.Module, learning_rate: float, weight_decay: float, sim_lr_multiplier: float = 10.0
) -> list[dict]:
    """Split a network's parameters into groups for AdamW, every parameter into exactly one.

    Weight decay is 0 for biases, norms, scales, scan parameters and the weights along slices; the slice interaction,
    which starts as the identity, learns faster. Parameters that rest are in the groups too, so they can be released.

    Args:
        network: any network; only one with a part `sim` has faster parameters.
        learning_rate: rate of everything but the slice interaction.
        weight_decay: decay of the weights of linear layers and convolutions.
        sim_lr_multiplier: rate of the slice interaction over `learning_rate`.

    Returns:
        Groups with `name`, `params`, `lr` and `weight_decay`; none is empty.
    """
    groups: dict[str, dict] = {}
    for name, parameter in network.named_parameters():
        sim = without_wrappers(name).startswith("sim.")
        decayed = _is_decayed(name, parameter)
        key = f"{'sim' if sim else 'network'}, {'decayed' if decayed else 'not decayed'}"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "params": [],
                "lr": learning_rate * (sim_lr_multiplier if sim else 1.0),
                "weight_decay": weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    if parameter.ndim < 2 or name.endswith(_NEVER_DECAYED) or name.endswith("bias"):
        return False
    return not name.endswith("descriptor_conv.weight")  # weights along slices


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Let the named parts of an IGTV network rest and every other parameter learn.

    Parts that rest also stay in evaluation mode during training, so that no batch statistics drift.

    Args:
        network: an `IGTVNetwork`; other networks only with no parts.
        parts: names among `PARTS`; none releases everything.

    Raises:
        ValueError: a name is unknown, or the network has no such part.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ValueError(f"unknown parts {unknown}; a network's parts are {', '.join(PARTS)}")
    resting = tuple(module for part in parts for module in PARTS[part])
    found = set()
    for name, parameter in network.named_parameters():
        root = without_wrappers(name).split(".", 1)[0]
        parameter.requires_grad_(root not in resting)
        found.add(root)
    absent = [part for part in parts if not found.intersection(PARTS[part])]
    if absent and absent != ["sim"]:  # a network without slice interaction has nothing to rest there
        raise ValueError(f"the network {type(network).__name__} has no part {', '.join(absent)}")
    network.train(network.training)
