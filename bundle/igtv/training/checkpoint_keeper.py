"""What a training run leaves on disk: the newest full state for a resume, the best and the last weights."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from ..files import replacing
from .resume_settings import changed_settings

CHECKPOINT_NAME = "checkpoint.pt"
BEST_NAME = "model.pt"
LAST_NAME = "model_last.pt"
RUN = "run"


class CheckpointKeeper:
    """Save after every epoch everything that a resumed run needs, as tensors and plain containers only.

    `settings` holds what a resumed run must share with the interrupted one; `session.run_training` fills it.
    `seconds` counts over all sessions of a run.

    Args:
        output_dir: folder of `checkpoint.pt`.
        state: name -> object with `state_dict()` and `load_state_dict()`; "trainer" is added on attach.
        enabled: rank 0 writes, the others only read.
    """

    def __init__(self, output_dir: str | Path, state: Mapping[str, object], enabled: bool = True) -> None:
        self.path = Path(output_dir) / CHECKPOINT_NAME
        self.state = dict(state)
        self.enabled = enabled
        self.settings: dict = {}
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._scaler_state: dict = {}

    @property
    def seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def attach(self, engine: Engine) -> None:
        self.state["trainer"] = engine
        # the trainer makes its gradient scaler when it starts, after the checkpoint was read
        engine.add_event_handler(Events.STARTED, self._restore_scaler)
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        content = {name: part.state_dict() for name, part in self.state.items()}
        content[RUN] = {
            "settings": self.settings,
            "seconds": self.seconds,
            "scaler": {} if engine.scaler is None else engine.scaler.state_dict(),
        }
        with replacing(self.path) as path:
            torch.save(content, path)

    def load(self, device: torch.device | str) -> int:
        """Restore every part.

        Returns:
            The number of epochs already done.

        Raises:
            FileNotFoundError: there is nothing to resume from.
            ValueError: the checkpoint was made by another kind of run, or with other settings.
        """
        check_resumable(self.path.parent)
        saved = torch.load(self.path, map_location=device, weights_only=True)
        run = saved.pop(RUN, {"settings": {}, "seconds": 0.0, "scaler": {}})
        self._check_settings(run["settings"])
        different = sorted(set(saved) ^ set(self.state))
        if different:
            raise ValueError(f"{self.path} is no checkpoint of such a run: only one of the two has {different}")
        trainer = self.state["trainer"]
        if saved["trainer"]["epoch_length"] != trainer.state.epoch_length:
            raise ValueError(
                f"{self.path} was made with {saved['trainer']['epoch_length']} steps an epoch, this run has "
                f"{trainer.state.epoch_length} (samples_per_epoch, batch_size or the number of processes changed); "
                "resume with the old values"
            )
        for name, part in self.state.items():
            try:
                part.load_state_dict(saved[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise ValueError(
                    f"{self.path}: the state of '{name}' does not fit this run ({error}); resume with the settings "
                    "of the interrupted run"
                ) from error
        self._seconds_before = run["seconds"]
        self._scaler_state = run["scaler"]
        return trainer.state.epoch

    def _check_settings(self, saved: Mapping) -> None:
        changed = changed_settings(saved, self.settings) if saved and self.settings else []
        if changed:
            raise ValueError(
                f"{self.path} was made with other settings ({'; '.join(changed)}): resume with those of the "
                "interrupted run, or start a new one from its weights with --model_path"
            )

    def _restore_scaler(self, engine: Engine) -> None:
        if engine.scaler is not None and self._scaler_state:
            engine.scaler.load_state_dict(self._scaler_state)
            self._scaler_state = {}


def check_resumable(output_dir: str | Path) -> None:
    """Raise FileNotFoundError when there is no checkpoint to resume from."""
    path = Path(output_dir) / CHECKPOINT_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"--resume True, but {path} does not exist: start without it, or give the output_dir of the "
            "interrupted run (a checkpoint is written after every epoch)"
        )


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
        self.best_path = Path(output_dir) / BEST_NAME
        self.last_path = Path(output_dir) / LAST_NAME
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
