"""Makes sure that the last epoch is validated, whatever the interval between validations."""

import torch.distributed
from ignite.engine import Engine, Events
from monai.engines import Evaluator


class LastValidation:
    """Runs the evaluator after the last epoch unless MONAI's `ValidationHandler` just did.

    Attach it to the trainer between the `ValidationHandler` and the `EpochRecord`.

    Args:
        evaluator: engine of the validation.

    Raises:
        ValueError: fewer validation cases than processes, so that one process would wait for the others forever.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        cases = len(self.evaluator.data_loader.dataset)
        processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        if 0 < cases < processes:
            raise ValueError(
                f"{cases} validation case(s) for {processes} processes: every process needs one; start fewer "
                "processes or choose a larger fold"
            )
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch == engine.state.max_epochs and not was_validated(self.evaluator, epoch):
            self.evaluator.run(epoch)


def was_validated(evaluator: Evaluator, epoch: int) -> bool:
    """Whether the evaluator's metrics belong to this epoch; false for an evaluator without cases."""
    return bool(evaluator.state.epoch_length) and evaluator.state.epoch == epoch
