"""The weights that a training starts from."""

import logging
from pathlib import Path

import torch

from ..networks.checkpoint import load_weights

logger = logging.getLogger(__name__)


def load_initial_weights(
    network: torch.nn.Module, model_path: str | Path | None, allow_partial: bool = False
) -> torch.nn.Module:
    """Load a checkpoint into a network, or leave it as initialised.

    Args:
        network: network to fill.
        model_path: checkpoint (ours, CIPA's, VMamba's); None starts from random weights.
        allow_partial: accept a checkpoint that fills only a part (for example an encoder), after a report.

    Returns:
        The same network.
    """
    if model_path is None:
        logger.info("training starts from random weights")
        return network
    report = load_weights(network, model_path, allow_partial=allow_partial)
    logger.info("training starts from %s: %s", model_path, report)
    return network
