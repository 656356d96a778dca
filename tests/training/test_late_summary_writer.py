"""TensorBoard's file is there from the first number on, and not before."""

from igtv.training.late_summary_writer import LateSummaryWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_the_file_begins_with_the_first_number(tmp_path):
    writer = LateSummaryWriter(tmp_path / "log")
    writer.flush()
    assert not (tmp_path / "log").exists()
    writer.add_scalar("loss", 0.5, 1)
    writer.add_scalar("loss", 0.25, 2)
    writer.flush()
    assert len(list((tmp_path / "log").iterdir())) == 1
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
