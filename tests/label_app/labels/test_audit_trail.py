"""The audit trail is only appended to, shows changes, and survives what a crash or a full disk leaves."""

import errno
import json
import os

import pytest
from lib.labels.audit_trail import AuditTrail


@pytest.fixture
def trail(tmp_path):
    return AuditTrail(tmp_path / "audit.jsonl")


def test_events_come_back_in_order_with_time(trail):
    for number in range(3):
        trail.append({"event": "label", "number": number})
    events, end = trail.read()
    assert [event["number"] for event in events] == [0, 1, 2]
    assert all(event["time"].endswith("Z") for event in events)
    assert trail.read(end) == ([], end)
    trail.append({"event": "label", "number": 3})
    assert [event["number"] for event in trail.read(end)[0]] == [3]
    assert trail.broken_links() == []


def test_a_change_shows(trail):
    for user in ("anna", "ben", "cleo"):
        trail.append({"user": user})
    text = trail.path.read_text()
    trail.path.write_text(text.replace("ben", "bob"))
    assert trail.broken_links() == [3]
    trail.path.write_text("".join(line for line in text.splitlines(True) if "ben" not in line))
    assert trail.broken_links() == [2]


def test_a_line_cut_off_by_a_crash_is_passed_over(trail):
    trail.append({"number": 1})
    with trail.path.open("ab") as file:
        file.write(b'{"number": 2, "us')
    assert [event["number"] for event in trail.read()[0]] == [1]
    trail.append({"number": 3})
    assert [event["number"] for event in trail.read()[0]] == [1, 3]
    assert trail.broken_links() == []


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_trail_as_it_was(trail, monkeypatch, call):
    trail.append({"number": 1})
    before = trail.path.read_bytes()
    write = os.write

    def full(handle, *data):
        if call == "write":
            write(handle, data[0][:10])
            return 10
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"igtv.learning.durable.os.{call}", full)
    with pytest.raises(OSError, match="No space"):
        trail.append({"number": 2})
    assert trail.path.read_bytes() == before
    monkeypatch.undo()
    assert json.loads(json.dumps(trail.append({"number": 3})))["number"] == 3
    assert trail.broken_links() == []
