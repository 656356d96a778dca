"""Training gives the same losses whichever back end computes the scan."""

import csv
import json

import pytest
from igtv.scan import set_backend


@pytest.fixture
def losses(train, tmp_path):
    """Training losses per epoch with one back end: `losses(name)`."""

    def run(backend):
        folder = tmp_path / backend
        train(folder, epochs=3, val_interval=3, num_slices=1, scan_backend=backend)
        # The configuration chooses the back end: without this, three runs of one back end would agree.
        assert json.loads((folder / "run_manifest.json").read_text())["scan"]["forced"] == backend
        with open(folder / "training_log.csv", newline="") as file:
            return [float(row["train_loss"]) for row in csv.DictReader(file)]

    yield run
    set_backend(None)


def test_same_losses_on_every_backend(losses):
    expected = losses("reference")
    assert len(expected) == 3 and len(set(expected)) == 3
    for backend in ("torch", "numba"):
        assert losses(backend) == pytest.approx(expected, rel=1e-4), backend
