"""The network learns: one case by heart in fifty steps."""

import csv


def test_one_case_by_heart(learned):
    with open(learned / "training_log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train_loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]
    assert float(rows[-1]["val_dice"]) > 0.7
