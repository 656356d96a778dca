"""TensorBoard's writer, which begins its file with the first number."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class LateSummaryWriter:
    """What MONAI's `TensorBoardStatsHandler` needs of a `SummaryWriter`, made when the first number comes.

    A `SummaryWriter` makes its file as soon as it is built. A run that cannot start must leave nothing behind, and an
    earlier run's files move away right before this one starts.

    Args:
        log_dir: folder of the file.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = str(log_dir)
        self._writer: SummaryWriter | None = None

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Write one number, as `SummaryWriter.add_scalar` does."""
        if self._writer is None:
            self._writer = SummaryWriter(log_dir=self.log_dir)
        self._writer.add_scalar(tag, value, step)

    def flush(self) -> None:
        """Bring to disk what was written."""
        if self._writer is not None:
            self._writer.flush()
