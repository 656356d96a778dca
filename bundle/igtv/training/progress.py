"""Progress bar over the whole training with the time left."""

import sys
import time

from ignite.engine import Engine, Events
from tqdm import tqdm

REFRESH_S = 2.0
REFRESH_IN_A_FILE_S = 30.0  # where the bar goes to a file, every refresh is one more line


class TrainingProgress:
    """One bar for all epochs, advancing by iterations; shows loss and the last validation Dice.

    Args:
        history: `History` of the run, source of the validation Dice shown.
        disabled: no bar (ranks above 0).
    """

    def __init__(self, history, disabled: bool = False) -> None:
        self.history = history
        self.disabled = disabled
        self.bar: tqdm | None = None
        self._next_refresh = 0.0
        self._loss = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._show)
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
            mininterval=REFRESH_S if sys.stderr.isatty() else REFRESH_IN_A_FILE_S,
            disable=self.disabled,
        )

    def _advance(self, engine: Engine) -> None:
        if self.bar is None:
            return
        self._loss = engine.state.output["loss"].detach()  # later handlers may give the output another form
        if time.monotonic() >= self._next_refresh:
            self._show(engine)
        self.bar.update(1)

    def _show(self, engine: Engine) -> None:
        """Put the newest numbers beside the bar; reading the loss makes a GPU wait, so not in every step."""
        if self.bar is None or self.disabled:
            return
        self._next_refresh = time.monotonic() + self.bar.mininterval
        latest = self.history.latest("val_dice")
        self.bar.set_postfix(
            epoch=f"{engine.state.epoch}/{engine.state.max_epochs}",
            loss=f"{float(self._loss):.3f}",
            val_dice="-" if latest is None else f"{latest:.3f}",
            refresh=False,
        )

    def _close(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error
