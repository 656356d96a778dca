"""Notes about images: no update is lost between processes, a failed write changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from lib.studies.info_file import InfoFile

LABEL_APP = Path(__file__).resolve().parents[3] / "label_app"
UPDATE = """
import sys
sys.path.insert(0, sys.argv[1])
import lib.paths
from pathlib import Path
from lib.studies.info_file import InfoFile
notes = InfoFile(Path(sys.argv[2]))
for number in range(60):
    entry = {f"{sys.argv[3]}{number}": number}
    notes.change(lambda content: content["images"].setdefault(f"case{number}", {}).update(entry))
"""


def test_processes_lose_no_update(tmp_path):
    path = tmp_path / "datastore_v2.json"
    command = [sys.executable, "-c", UPDATE, str(LABEL_APP), str(path)]
    processes = [subprocess.Popen([*command, word]) for word in ("score", "served")]
    assert [process.wait(120) for process in processes] == [0, 0]
    images = InfoFile(path).content()["images"]
    assert images == {f"case{number}": {f"score{number}": number, f"served{number}": number} for number in range(60)}
    assert not list(tmp_path.glob(".writing-*"))


def test_full_disk_changes_nothing(tmp_path, monkeypatch):
    notes = InfoFile(tmp_path / "datastore_v2.json")
    notes.change(lambda content: content["images"].update(a={"score": 1}))
    before = notes.path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lib.studies.info_file.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        notes.change(lambda content: content["images"].update(a={"score": 2}))
    assert notes.path.read_bytes() == before and notes.entry("images", "a") == {"score": 1}
    assert not list(tmp_path.glob(".writing-*"))


def test_copies_are_handed_out(tmp_path):
    notes = InfoFile(tmp_path / "datastore_v2.json")
    notes.change(lambda content: content["images"].update(a={"score": 1}))
    notes.entry("images", "a")["score"] = 2
    notes.content()["images"].clear()
    assert notes.entry("images", "a") == {"score": 1}
