import csv

import matplotlib.image
import pytest
from igtv.training.history import History


def filled(folder, dices):
    history = History(folder)
    for epoch, dice in enumerate(dices, start=1):
        history.add(epoch, 1.0 / epoch, 0.1, dice)
    return history


@pytest.mark.parametrize(
    "dices, best",
    [
        ([], None),
        ([None, None], None),
        ([0.2, None, 0.7, 0.5], (3, 0.7)),
        ([0.7, 0.7], (1, 0.7)),  # of equals the earlier one
        ([0.0], (1, 0.0)),
    ],
)
def test_best(dices, best, tmp_path):
    assert filled(tmp_path, dices).best() == best


def test_latest_skips_epochs_without_validation(tmp_path):
    history = filled(tmp_path, [0.2, 0.4, None])
    assert history.latest("val_dice") == 0.4 and history.latest("epoch") == 3
    assert History(tmp_path).latest("val_dice") is None


def test_table_and_curve(tmp_path):
    filled(tmp_path / "new", [None, 0.25]).write()
    with open(tmp_path / "new" / "training_log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "1", "train_loss": "1.0", "learning_rate": "0.1", "val_dice": ""},
        {"epoch": "2", "train_loss": "0.5", "learning_rate": "0.1", "val_dice": "0.25"},
    ]
    assert matplotlib.image.imread(tmp_path / "new" / "learning_curve.png").shape[:2] == (400, 800)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_state_survives_and_is_a_copy(tmp_path):
    history = filled(tmp_path, [0.1])
    state = history.state_dict()
    history.rows[0]["val_dice"] = 0.9
    other = History(tmp_path)
    other.load_state_dict(state)
    assert other.best() == (1, 0.1)
