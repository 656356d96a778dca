"""Versions stay as they are, one is current, damage and crashes leave a whole one."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from igtv.files import file_sha256
from igtv.learning import current_pointer
from igtv.learning.current_pointer import CurrentPointer
from igtv.learning.registry import AnotherCurrent, ModelRegistry
from igtv.learning.version_files import VersionFiles
from igtv.training.starting_weights import read_starting_weights


@pytest.fixture
def three(registry, weak_model):
    """Version 1 (seed), 2 (accepted, current), 3 (refused)."""
    second = registry.add(
        weak_model, {"data": [{"case": "p1", "label_sha256": "x"}]}, {"dice": 0.5, "cases": {"f": 0.5}}
    )
    registry.accept(second, {"reasons": ["better"], "accepted": True}, user="anna")
    third = registry.add(weak_model, {"data": []}, {"dice": 0.1, "cases": {"f": 0.1}})
    registry.refuse(third, {"reasons": ["worse"], "accepted": False})
    return registry


def damage(version):
    version.model_path.chmod(0o644)
    with version.model_path.open("r+b") as file:
        file.write(b"damaged")


def test_seeding_twice_changes_nothing(registry, weak_model):
    before = registry.current_path.read_bytes()
    assert registry.seed(weak_model).number == 1
    assert registry.current_path.read_bytes() == before
    assert registry.current().sha256 == file_sha256(weak_model)


@pytest.mark.parametrize("step", ["decide", "point_to"])
def test_a_seed_that_a_full_disk_ended_is_finished_at_the_next_start(step, weak_model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    made = ModelRegistry(tmp_path / "models")
    with monkeypatch.context() as patched:
        patched.setattr({"decide": VersionFiles, "point_to": CurrentPointer}[step], step, full)
        with pytest.raises(OSError, match="No space"):
            made.seed(weak_model, "shipped")
    assert [version.number for version in made.versions()] == [1] and not made.current_path.exists()
    assert made.seed(weak_model, "shipped").number == 1
    assert made.version(1).status == "accepted" and made.version(1).decision["reasons"] == ["shipped"]
    assert [(entry["number"], entry["from"], entry["reason"]) for entry in made.history()] == [(1, None, "seed")]


def test_a_candidate_is_not_current_before_it_is_accepted(registry, weak_model):
    candidate = registry.add(weak_model)
    assert (candidate.number, candidate.status, registry.current().number) == (2, "candidate", 1)
    registry.accept(candidate, {"reasons": []})
    assert registry.current().number == 2


def test_status_history_and_comparison(three):
    assert [version.status for version in three.versions()] == ["accepted", "accepted", "refused"]
    assert [(entry["number"], entry["reason"], entry["user"]) for entry in three.history()] == [
        (1, "seed", ""),
        (2, "accepted", "anna"),
    ]
    compared = three.compare(2, 3)
    assert compared["cases"] == [{"case": "f", "dice": [0.5, 0.1]}]
    assert compared["data"] == {"both": 0, "only_first": ["p1"], "only_second": []}


def test_rollback_goes_to_the_accepted_version_before(three):
    assert three.rollback(user="ben").number == 1
    assert three.current().number == 1
    assert three.history()[-1]["reason"] == "rollback"
    assert three.rollback(2).number == 2


@pytest.fixture
def side_branch(three, weak_model):
    """Version 2 was rolled back, version 4 was measured against version 1 and is current."""
    three.rollback(1)
    three.accept(three.add(weak_model, {"parent": 1, "data": []}), {"reasons": []})
    return three


def test_rollback_passes_over_what_was_itself_rolled_back(side_branch):
    assert side_branch.current().number == 4
    assert side_branch.rollback().number == 1


def test_a_damaged_current_version_falls_back_to_its_parent(side_branch, weak_model):
    """Version 5 descends from 2, though 4 was current in between."""
    side_branch.rollback(2)
    side_branch.rollback(4)
    side_branch.accept(side_branch.add(weak_model, {"parent": 2, "data": []}), {"reasons": []})
    damage(side_branch.current())
    assert side_branch.current().number == 2
    (side_branch.version(5).path / "manifest.json").chmod(0o644)
    (side_branch.version(5).path / "manifest.json").write_text("{")
    assert side_branch.current().number == 4  # without its manifest: the one that was current last


def test_rollback_refuses_what_was_not_accepted_or_is_damaged(three):
    with pytest.raises(ValueError, match="was not accepted"):
        three.rollback(3)
    with pytest.raises(ValueError, match="no version 9"):
        three.rollback(9)
    damage(three.version(1))
    with pytest.raises(ValueError, match="damaged"):
        three.rollback(1)
    assert three.current().number == 2


def test_a_damaged_current_version_falls_back_to_the_last_good_one(three, caplog):
    damage(three.current())
    assert three.current().number == 1
    assert "v0002 is damaged: going on with v0001" in caplog.text
    damage(three.version(1))
    with pytest.raises(ValueError, match="no other accepted version is whole"):
        three.current()


@pytest.mark.parametrize("content", ["", '{"number": ', '{"number": "x"}'])
def test_a_damaged_pointer_is_replaced_by_the_history(three, content):
    three.current_path.write_text(content)
    assert three.current().number == 2
    three.current_path.unlink()
    assert three.current().number == 2


def test_another_process_is_seen_at_once(three):
    other = ModelRegistry(three.folder.parent, three.name)
    assert other.current().number == 2
    three.rollback(1)
    assert other.current().number == 1


def test_leftovers_of_a_killed_process_do_not_count(registry, weak_model):
    leftover = registry.folder / "versions" / ".adding-999999"
    leftover.mkdir()
    shutil.copyfile(weak_model, leftover / "model.pt")
    assert [version.number for version in registry.versions()] == [1]
    assert registry.add(weak_model).number == 2
    assert not leftover.exists()


def test_a_card_of_another_file_is_refused(registry, weak_model, tmp_path):
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "model.pt").write_bytes(b"something else")
    shutil.copyfile(weak_model.with_suffix(".json"), staging / "model.json")
    with pytest.raises(ValueError, match="describes another file"):
        registry.add(staging)
    assert [entry.name for entry in (registry.folder / "versions").iterdir()] == ["v0001"]


def test_a_decision_is_made_once(three):
    with pytest.raises(ValueError, match="made once"):
        three.accept(three.version(3), {"reasons": ["after all"]})
    decision = json.loads((three.version(3).path / "decision.json").read_text())
    assert decision["reasons"] == ["worse"]


def test_nothing_becomes_current_that_was_measured_against_another_version(three, weak_model):
    candidate = three.add(weak_model, {"parent": 2, "data": []})
    three.rollback(1)
    with pytest.raises(AnotherCurrent, match="became igtv v0001 .* against igtv v0002: start again"):
        three.accept(candidate, {"reasons": []}, expected_current=2)
    assert three.current().number == 1 and three.version(4).status == "candidate"
    three.accept(candidate, {"reasons": []}, expected_current=1)
    assert three.current().number == 4


def test_a_damaged_manifest_costs_one_version(three, caplog):
    manifest = three.version(3).path / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{")
    assert [version.number for version in three.versions()] == [1, 2]
    assert "v0003 is left out" in caplog.text and three.current().number == 2


def test_an_empty_registry_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="seed it"):
        ModelRegistry(tmp_path, "igtv").current()


def test_what_the_first_weights_learned_from_stays_beside_them(weak_model, tmp_path):
    """An evaluation of a version, and a training that starts from it, look for it there."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.pt", "model.json"):
        shutil.copy(weak_model.with_name(weak_model.stem + Path(name).suffix), folder / name)
    (folder / "run_manifest.json").write_text('{"images_sha256": {"P0": "aa"}}')
    first = ModelRegistry(tmp_path / "models").seed(folder / "model.pt")
    assert read_starting_weights(first.model_path).images_sha256 == {"P0": "aa"}


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def crash_in(monkeypatch):
    """`crash_in(step, call)`: make a call that ends in the history's line, or after it in the pointer's file."""

    def make(step, call):
        def crash(path, *_):
            if step == "history" or Path(path).name == "current.json":
                raise Crash
            return write(path, *_)

        write = current_pointer.write_json_durably
        with monkeypatch.context() as patched:
            patched.setattr(current_pointer, {"history": "append_line", "pointer": "write_json_durably"}[step], crash)
            with pytest.raises(Crash):
                call()

    return make


def reopened(registry, how):
    """The registry as another process sees it once it opened it for work."""
    again = ModelRegistry(registry.folder.parent, registry.name)
    again.seed(again.version(1).model_path) if how == "seed" else again.finish_acceptance()
    return again


@pytest.mark.parametrize("how", ["seed", "finish_acceptance"])
@pytest.mark.parametrize("step", ["history", "pointer"])
def test_an_acceptance_that_a_crash_ended_is_finished(step, how, registry, weak_model, crash_in):
    candidate = registry.add(weak_model, {"parent": 1, "data": []})
    crash_in(step, lambda: registry.accept(candidate, {"reasons": ["better"]}, "anna", 1))
    assert registry.version(2).status == "accepted" and registry.current().number == 1
    again = reopened(registry, how)
    assert again.current().number == 2
    expected = [(1, None, "seed", ""), (2, 1, "accepted", "anna")]
    assert [tuple(entry[key] for key in ("number", "from", "reason", "user")) for entry in again.history()] == expected
    before = again.current_path.read_bytes(), again.history()
    again = reopened(again, how)
    assert (again.current_path.read_bytes(), again.history()) == before
    third = again.accept(again.add(weak_model, {"parent": 2, "data": []}), {"reasons": []}, expected_current=2)
    assert again.current().number == third.number == 3


def test_a_rollback_that_a_crash_ended_is_finished(three, crash_in):
    crash_in("pointer", lambda: three.rollback(1))
    assert three.current().number == 2
    assert reopened(three, "seed").current().number == 1


def test_only_what_was_measured_against_the_current_version_is_taken_into_use(three, weak_model, crash_in):
    """Version 4 was measured against 2, and 1 is current since."""
    candidate = three.add(weak_model, {"parent": 2, "data": []})
    crash_in("history", lambda: three.accept(candidate, {"reasons": []}, expected_current=2))
    three.rollback(1)
    again = reopened(three, "seed")
    assert again.current().number == 1 and again.history()[-1]["reason"] == "rollback"


def test_opening_leaves_what_is_consistent_alone(side_branch):
    """Two versions descend from the first, and the one in use is not the newest."""
    side_branch.rollback(1)
    before = side_branch.current_path.read_bytes(), side_branch.history()
    again = reopened(side_branch, "seed")
    assert (again.current_path.read_bytes(), again.history()) == before


def test_a_history_that_lost_its_end_does_not_move_the_pointer(three):
    path = three.folder / "history.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n{")
    assert reopened(three, "seed").current().number == 2


def test_a_lost_pointer_comes_back_from_the_history(three):
    three.rollback(1)
    before = three.history()
    three.current_path.unlink()
    again = reopened(three, "seed")
    assert again.current().number == 1 and again.history() == before and again.current_path.is_file()
