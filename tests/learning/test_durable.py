"""Lines that are appended whole or not at all, whatever a crash or a full disk left before."""

import errno
import os

import pytest
from igtv.learning.durable import append_line, read_lines


@pytest.fixture
def lines(tmp_path):
    """A file of one line."""
    path = tmp_path / "history.jsonl"
    append_line(path, {"number": 1})
    return path


def test_a_line_after_one_that_a_crash_cut_off_is_not_lost(lines):
    with lines.open("ab") as file:
        file.write(b'{"number": 2, "fr')
    assert read_lines(lines) == [{"number": 1}]
    append_line(lines, {"number": 3})
    assert read_lines(lines) == [{"number": 1}, {"number": 3}]
    assert lines.read_bytes() == b'{"number": 1}\n{"number": 2, "fr\n{"number": 3}\n'


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_file_as_it_was(lines, monkeypatch, call):
    before = lines.read_bytes()
    write = os.write

    def full(handle, *data):
        if call == "write":
            return write(handle, data[0][:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"igtv.learning.durable.os.{call}", full)
        with pytest.raises(OSError, match="No space"):
            append_line(lines, {"number": 2})
    assert lines.read_bytes() == before
    append_line(lines, {"number": 3})
    assert read_lines(lines) == [{"number": 1}, {"number": 3}]
