"""Gives the trainer's output the form that MONAI's experiment tracking reads."""

from ignite.engine import Engine, Events


class ListedOutput:
    """After each step the output {"loss", ...} becomes a list with that one entry, for handlers attached later.

    The MLflow handler that `--tracking mlflow` appends takes the loss from the first of a list of dictionaries, as
    decollating the batch gives it. Decollating would also read the loss off the GPU and so wait for it in every step.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        engine.state.output = [engine.state.output]
