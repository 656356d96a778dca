"""The pointer's file and its history can each be made anew from the other."""

import json
from pathlib import Path

import pytest
from igtv.learning.current_pointer import CurrentPointer
from igtv.learning.model_version import ModelVersion


def version(number):
    return ModelVersion("igtv", number, Path(), {}, f"sha{number}", {}, "accepted", {}, {})


@pytest.fixture
def pointer(tmp_path):
    made = CurrentPointer(tmp_path)
    for number, reason in [(1, "seed"), (2, "accepted"), (1, "rollback")]:
        made.point_to(version(number), reason, "anna")
    return made


def test_a_change_is_a_line_of_the_history_and_the_file(pointer):
    told = [(entry["number"], entry["from"], entry["sha256"], entry["reason"]) for entry in pointer.history()]
    assert told == [(1, None, "sha1", "seed"), (2, 1, "sha2", "accepted"), (1, 2, "sha1", "rollback")]
    assert json.loads(pointer.path.read_text()) == pointer.history()[-1]


def test_without_a_file_and_history_there_is_no_number(tmp_path):
    assert CurrentPointer(tmp_path).number() is None
    (tmp_path / "current.json").write_text("{")
    assert CurrentPointer(tmp_path).number() is None


@pytest.mark.parametrize("content", [None, "", "[1]", '{"number": "two"}'])
def test_a_file_that_tells_nothing_is_made_anew(pointer, content):
    if content is None:
        pointer.path.unlink()
    else:
        pointer.path.write_text(content)
    assert pointer.number() == 1
    if content != '{"number": "two"}':  # an object that no history knows is left to whoever wrote it
        pointer.repair()
        assert json.loads(pointer.path.read_text()) == pointer.history()[-1]


def test_repair_follows_the_history_but_not_one_that_lost_its_end(pointer):
    lines = pointer.history_path.read_text().splitlines(keepends=True)
    pointer.path.write_text(lines[1])
    pointer.repair()
    assert pointer.number() == 1
    pointer.history_path.write_text(lines[0] + lines[1][:20])
    pointer.repair()
    assert json.loads(pointer.path.read_text()) == json.loads(lines[2])
