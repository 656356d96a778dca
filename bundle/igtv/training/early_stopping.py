"""Ends a training whose validation Dice no longer rises."""

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping

from .history import History


class EarlyStop:
    """ignite's `EarlyStopping` on the validation Dice, counted in validations, with a state that survives a resume.

    Attach it to the trainer after the `EpochRecord`.

    Args:
        patience: validations without a better Dice until the training ends; 0 never stops.
        history: rows of the run, source of the Dice.
    """

    def __init__(self, patience: int, history: History) -> None:
        if patience < 0:
            raise ValueError(f"early_stopping_patience must be 0 (never) or more, got {patience}")
        self.patience = patience
        self.history = history
        self.stopper: EarlyStopping | None = None

    @property
    def stopped(self) -> bool:
        """Whether the patience is used up; stays true after a resume."""
        return self.stopper is not None and self.stopper.counter >= self.patience

    def attach(self, engine: Engine) -> None:
        if self.patience > 0:
            self.stopper = EarlyStopping(self.patience, lambda _: self.history.rows[-1]["val_dice"], engine)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.history.rows[-1]["val_dice"] is not None:
            self.stopper(engine)

    def state_dict(self) -> dict:
        if self.stopper is None:
            return {}
        return {"counter": self.stopper.counter, "best_score": self.stopper.best_score}

    def load_state_dict(self, state: dict) -> None:
        if self.stopper is not None and state:
            self.stopper.counter = state["counter"]
            self.stopper.best_score = state["best_score"]
