"""Notes what an epoch brought and keeps the weights of the best one."""

from ignite.engine import Engine, Events

from .checkpoint_keeper import WeightsKeeper
from .history import History


class EpochRecord:
    """After every epoch (and its validation): a row in the history, the log on disk, the best weights.

    Attach it to the trainer after the `ValidationHandler`, so that the Dice of this epoch is known.

    Args:
        history: rows of the run.
        weights: keeper of best and last weights.
        evaluator: engine whose `state.metrics[val_metric]` is the mean Dice per patient; None without validation.
        val_interval: epochs between two validations.
        enabled: rank 0 writes the log.
    """

    def __init__(
        self,
        history: History,
        weights: WeightsKeeper,
        evaluator: Engine | None,
        val_interval: int,
        val_metric: str = "val_dice",
        enabled: bool = True,
    ) -> None:
        self.history = history
        self.weights = weights
        self.evaluator = evaluator
        self.val_interval = val_interval
        self.val_metric = val_metric
        self.enabled = enabled
        self._sum = 0.0
        self._count = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._record)

    def _reset(self, engine: Engine) -> None:
        self._sum, self._count = 0.0, 0

    def _add(self, engine: Engine) -> None:
        # stays on the device: reading the number here would make the GPU wait in every step
        self._sum = self._sum + engine.state.output["loss"].detach()
        self._count += 1

    def _record(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        validated = self.evaluator is not None and epoch % self.val_interval == 0
        val_dice = float(self.evaluator.state.metrics[self.val_metric]) if validated else None
        best = self.history.best()
        rate = engine.optimizer.param_groups[0]["lr"]
        self.history.add(epoch, float(self._sum) / max(self._count, 1), rate, val_dice)
        if val_dice is not None and (best is None or val_dice > best[1]):
            self.weights.save_best(epoch, val_dice)
        if self.enabled:
            self.history.write()
