"""Progress bar over the whole training with the time left."""

from ignite.engine import Engine, Events
from tqdm import tqdm


class TrainingProgress:
    """One bar for all epochs, advancing by iterations; shows loss and the last validation Dice.

    Args:
        history: `History` of the run, source of the validation Dice shown.
        disabled: no bar (ranks above 0, logs without a terminal).
    """

    def __init__(self, history, disabled: bool = False) -> None:
        self.history = history
        self.disabled = disabled
        self.bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.TERMINATE, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._close_and_raise)

    def _open(self, engine: Engine) -> None:
        self.bar = tqdm(
            total=engine.state.max_epochs * engine.state.epoch_length,
            initial=engine.state.iteration,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            mininterval=2.0,
            disable=self.disabled,
        )

    def _advance(self, engine: Engine) -> None:
        if self.bar is None:
            return
        latest = self.history.latest("val_dice")
        self.bar.set_postfix(
            epoch=f"{engine.state.epoch}/{engine.state.max_epochs}",
            loss=f"{float(engine.state.output['loss']):.3f}",
            val_dice="-" if latest is None else f"{latest:.3f}",
            refresh=False,
        )
        self.bar.update(1)

    def _close(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error
