"""What happened in every epoch: a table, a curve, and the memory that a resumed run takes up again."""

import csv
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing

LOG_NAME = "training_log.csv"
CURVE_NAME = "learning_curve.png"
COLUMNS = ("epoch", "train_loss", "learning_rate", "val_dice")


class History:
    """Rows of (epoch, mean training loss, learning rate, validation Dice or None), written as CSV and PNG.

    Args:
        output_dir: folder of `training_log.csv` and `learning_curve.png`.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        self.rows: list[dict[str, float | int | None]] = []

    def add(self, epoch: int, train_loss: float, learning_rate: float, val_dice: float | None) -> dict:
        """Append a row and return it."""
        row = {"epoch": epoch, "train_loss": train_loss, "learning_rate": learning_rate, "val_dice": val_dice}
        self.rows.append(row)
        return row

    def latest(self, column: str) -> float | None:
        """Newest value of a column that is not empty."""
        return next((row[column] for row in reversed(self.rows) if row[column] is not None), None)

    def best(self) -> tuple[int, float] | None:
        """(epoch, Dice) of the best validation so far; the earlier one of equals."""
        validated = [row for row in self.rows if row["val_dice"] is not None]
        if not validated:
            return None
        row = max(validated, key=lambda row: (row["val_dice"], -row["epoch"]))
        return row["epoch"], row["val_dice"]

    def state_dict(self) -> dict:
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: dict) -> None:
        self.rows = [dict(row) for row in state["rows"]]

    def write(self) -> None:
        """Write the table and the curve; both are whole at any moment."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with replacing(self.output_dir / LOG_NAME) as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        with replacing(self.output_dir / CURVE_NAME) as path:
            self._draw(path)

    def _draw(self, path: Path) -> None:
        figure = Figure(figsize=(8, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot([row["epoch"] for row in self.rows], [row["train_loss"] for row in self.rows], color="tab:blue")
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.set_ylabel("training loss", color="tab:blue")
        dice_axes = axes.twinx()
        validated = [row for row in self.rows if row["val_dice"] is not None]
        dice_axes.plot(
            [row["epoch"] for row in validated], [row["val_dice"] for row in validated], "o-", color="tab:orange"
        )
        dice_axes.set_ylabel("mean Dice of the validation cases", color="tab:orange")
        dice_axes.set_ylim(0, 1)
        best = self.best()
        if best is not None:
            axes.set_title(f"best validation Dice {best[1]:.3f} in epoch {best[0]}")
        figure.savefig(path, dpi=100, format="png")
