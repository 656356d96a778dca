"""What a training run leaves on disk: the newest full state for a resume, the best and the last weights."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from ..files import replacing

logger = logging.getLogger(__name__)
CHECKPOINT_NAME = "checkpoint.pt"


class CheckpointKeeper:
    """Save after every epoch everything that a resumed run needs, as tensors and plain containers only.

    Args:
        output_dir: folder of `checkpoint.pt`.
        state: name -> object with `state_dict()` and `load_state_dict()`; "trainer" is added on attach.
        enabled: rank 0 writes, the others only read.
    """

    def __init__(self, output_dir: str | Path, state: Mapping[str, object], enabled: bool = True) -> None:
        self.path = Path(output_dir) / CHECKPOINT_NAME
        self.state = dict(state)
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        self.state["trainer"] = engine
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        with replacing(self.path) as path:
            torch.save({name: part.state_dict() for name, part in self.state.items()}, path)

    def load(self, device: torch.device | str) -> int:
        """Restore every part.

        Returns:
            The number of epochs already done.

        Raises:
            FileNotFoundError: there is nothing to resume from.
            ValueError: the checkpoint was made by another kind of run.
        """
        if not self.path.is_file():
            raise FileNotFoundError(
                f"--resume True, but {self.path} does not exist: start without it, or give the output_dir of the "
                "interrupted run"
            )
        saved = torch.load(self.path, map_location=device, weights_only=True)
        different = sorted(set(saved) ^ set(self.state))
        if different:
            raise ValueError(
                f"{self.path} does not fit this run: {different} is in only one of the two "
                "(another config, or use_ema changed); resume with the settings of the interrupted run"
            )
        trainer = self.state["trainer"]
        if saved["trainer"]["epoch_length"] != trainer.state.epoch_length:
            raise ValueError(
                f"{self.path} was made with {saved['trainer']['epoch_length']} steps an epoch, this run has "
                f"{trainer.state.epoch_length} (samples_per_epoch or batch_size changed); resume with the old values"
            )
        # the checkpoint carries the interrupted run's number of epochs; the number asked for now counts
        saved["trainer"]["max_epochs"] = trainer.state.max_epochs
        for name, part in self.state.items():
            try:
                part.load_state_dict(saved[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise ValueError(
                    f"{self.path}: the state of '{name}' does not fit this run ({error}); resume with the settings "
                    "of the interrupted run"
                ) from error
        logger.info("resumed from %s after epoch %d", self.path, trainer.state.epoch)
        return trainer.state.epoch


class WeightsKeeper:
    """Write the weights (a flat state dict) of the evaluated network: the best so far, and the last.

    Args:
        network: what validation looks at (the moving average where there is one).
        output_dir: folder of `model.pt` (best validation Dice) and `model_last.pt`.
        describe: `describe(path, **metrics)` writes what belongs beside a weights file (its model card).
        enabled: rank 0 writes.
    """

    def __init__(self, network: torch.nn.Module, output_dir: str | Path, describe, enabled: bool = True) -> None:
        self.network = network
        self.best_path = Path(output_dir) / "model.pt"
        self.last_path = Path(output_dir) / "model_last.pt"
        self.describe = describe
        self.enabled = enabled

    def save_best(self, epoch: int, val_dice: float) -> None:
        self._save(self.best_path, epoch=epoch, val_dice=val_dice)

    def save_last(self, epoch: int, val_dice: float | None) -> None:
        self._save(self.last_path, epoch=epoch, val_dice=val_dice)
        if not self.best_path.is_file():  # nothing was validated: the last is the best there is
            self._save(self.best_path, epoch=epoch, val_dice=val_dice)

    def _save(self, target: Path, **metrics) -> None:
        if not self.enabled:
            return
        weights = {name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()}
        with replacing(target) as path:
            torch.save(weights, path)
        self.describe(target, metrics)
