"""Notes what an epoch brought and keeps the weights of the best one."""

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from .checkpoint_keeper import WeightsKeeper
from .history import History
from .last_validation import was_validated


class EpochRecord:
    """After every epoch (and its validation): a row in the history, the log on disk, the best weights.

    Attach it to the trainer after the handlers that validate, so that the Dice of this epoch is known, and before
    TensorBoard's, which takes up the numbers that are left in `engine.state.metrics`.

    Args:
        history: rows of the run.
        weights: keeper of best and last weights.
        evaluator: engine whose `state.metrics[val_metric]` is the mean Dice of the validation cases; None without
            validation.
        enabled: rank 0 writes the log.
    """

    def __init__(
        self,
        history: History,
        weights: WeightsKeeper,
        evaluator: Evaluator | None,
        val_metric: str = "val_dice",
        enabled: bool = True,
    ) -> None:
        self.history = history
        self.weights = weights
        self.evaluator = evaluator
        self.val_metric = val_metric
        self.enabled = enabled
        self._sum = torch.zeros(())
        self._count = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._record)

    def _reset(self, engine: Engine) -> None:
        self._sum, self._count = torch.zeros((), device=engine.state.device), 0

    def _add(self, engine: Engine) -> None:
        # stays on the device: reading the number here would make the GPU wait in every step
        self._sum = self._sum + engine.state.output["loss"].detach().float()
        self._count += 1

    def _record(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        val_dice = None
        if self.evaluator is not None and was_validated(self.evaluator, epoch):
            val_dice = float(self.evaluator.state.metrics[self.val_metric])
        best = self.history.best()
        row = self.history.add(epoch, self._mean_loss(), engine.optimizer.param_groups[0]["lr"], val_dice)
        engine.state.metrics = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        if val_dice is not None and (best is None or val_dice > best[1]):
            self.weights.save_best(epoch, val_dice)
        if self.enabled:
            self.history.write()

    def _mean_loss(self) -> float:
        """Mean over the steps, and over the processes where there are several."""
        mean = self._sum / max(self._count, 1)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(mean)
            mean = mean / torch.distributed.get_world_size()
        return float(mean)
