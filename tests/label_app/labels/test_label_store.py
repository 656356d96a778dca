"""Versions of labels: history, recovery, full disk at every step, several processes, kill -9."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.files import file_sha256
from lib.labels.label_store import LabelStore

LABEL_APP = Path(__file__).resolve().parents[3] / "label_app"


def add(store, mask, case="case1", user="anna", **event):
    return store.add(case, mask, {"user": user, "no_tumour": False, **event})


def voxels(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_every_version_is_kept(store, mask):
    first = add(store, mask, edit_dice=0.9)
    second = add(store, mask * 0, user="Dr. Ben O'Hara", no_tumour=True)
    assert [version.number for version in store.versions("case1")] == [1, 2]
    assert first.path.name.startswith("0001_") and first.path.name.endswith("_anna.nii.gz")
    assert second.path.name.endswith("_Dr.-Ben-O-Hara.nii.gz") and second.no_tumour
    assert voxels(first.path).sum() == 24 and voxels(second.path).sum() == 0
    assert store.current("case1") == second
    assert voxels(store.final_path("case1")).sum() == 0
    assert file_sha256(first.path) == first.sha256 == first.event["sha256"]
    assert first.event["edit_dice"] == 0.9 and first.event["outcome"] == "accepted"
    assert LabelStore(store.folder).all_current() == {"case1": second}
    assert LabelStore(store.folder).recover() == []


def test_withdrawn_label_keeps_its_history(store, mask):
    first = add(store, mask)
    store.withdraw("case1", {"user": "ben"})
    assert store.current("case1") is None and store.final_path("case1") is None and first.path.is_file()
    assert LabelStore(store.folder).recover() == [] and LabelStore(store.folder).current("case1") is None
    assert add(store, mask).number == 2


def test_two_stores_see_each_other(store, mask):
    other = LabelStore(store.folder)
    add(store, mask)
    assert other.current("case1").number == 1
    assert add(other, mask, user="ben").number == 2
    assert store.current("case1").user == "ben"


def test_threads_lose_nothing(store, mask):
    stores = [store, LabelStore(store.folder)]
    with ThreadPoolExecutor(4) as pool:
        users = [f"user{number}" for number in range(16)]
        versions = list(pool.map(lambda user: add(stores[int(user[4:]) % 2], mask, user=user), users))
    assert sorted(version.number for version in versions) == list(range(1, 17))
    kept = {version.user for version in LabelStore(store.folder).versions("case1")}
    assert kept == set(users) and store.audit.broken_links() == []


def test_damaged_files_are_put_right(store, mask):
    version = add(store, mask)
    final = store.final / "case1.nii.gz"
    final.write_bytes(b"damaged")
    assert "was missing or changed" in LabelStore(store.folder).recover()[0]
    assert file_sha256(final) == version.sha256
    version.path.write_bytes(b"damaged")
    assert "copied back from final/" in LabelStore(store.folder).recover()[0]
    assert file_sha256(version.path) == version.sha256
    for path in (final, version.path):
        path.write_bytes(b"damaged")
    assert "restore it from a backup" in LabelStore(store.folder).recover()[0]
    assert LabelStore(store.folder).current("case1") is None


@pytest.mark.parametrize("place", ["history", "final"])
def test_a_version_restored_from_a_backup_counts_again(store, mask, place):
    """As its message says, and for good; the trail says both that it was lost and that it is back."""
    version = add(store, mask, edit_dice=0.9)
    whole, copy = version.path.read_bytes(), store.final / "case1.nii.gz"
    for path in (copy, version.path):
        path.write_bytes(b"damaged")
    (said,) = LabelStore(store.folder).recover()
    assert f"history/case1/{version.path.name}" in said and version.sha256 in said
    assert LabelStore(store.folder).recover() == [said]  # said at every start, entered once
    (version.path if place == "history" else copy).write_bytes(whole)
    assert "whole again and counts" in LabelStore(store.folder).recover()[-1]
    again = LabelStore(store.folder)
    assert again.recover() == [] and again.current("case1") == version == store.current("case1")
    assert version.path.read_bytes() == copy.read_bytes() == whole
    assert [event["outcome"] for event in again.events()] == ["accepted", "damaged", "recovered"]
    again.withdraw("case1", {"user": "ben"})
    assert LabelStore(store.folder).recover() == [] and LabelStore(store.folder).current("case1") is None


def test_a_wrong_file_in_place_of_a_damaged_version_does_not_count(store, mask):
    version = add(store, mask)
    for path in (store.final / "case1.nii.gz", version.path):
        path.write_bytes(b"damaged")
    LabelStore(store.folder).recover()
    sitk.WriteImage(mask * 0, str(version.path))
    LabelStore(store.folder).recover()
    assert LabelStore(store.folder).current("case1") is None
    assert add(store, mask).number == 2 and LabelStore(store.folder).recover() == []


def test_lost_trail_is_made_from_the_history(store, mask):
    add(store, mask)
    add(store, mask * 0, user="ben", no_tumour=True)
    store.audit.path.unlink()
    again = LabelStore(store.folder)
    assert len(again.recover()) == 2
    assert [(version.user, version.no_tumour) for version in again.versions("case1")] == [
        ("anna", False),
        ("ben", True),
    ]
    assert again.current("case1").event["outcome"] == "recovered"


def test_leftovers_of_killed_writes_are_removed(store, mask):
    add(store, mask)
    for folder in (store.final, store.history / "case1"):
        (folder / ".writing-abc.nii.gz").write_bytes(b"half")
    assert LabelStore(store.folder).recover() == ["2 unfinished temporary files removed"]
    assert not list(store.folder.rglob(".writing-*"))


@pytest.mark.parametrize("step", range(12))
def test_full_disk_at_any_step_loses_nothing(store, mask, monkeypatch, step):
    """The n-th call that needs space fails, and all after it: either the label is whole, or nothing has changed."""
    add(store, mask)
    calls = iter(range(100))

    def failing(real):
        def call(*arguments, **options):
            if next(calls) >= step:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        return call

    for target in ("os.fsync", "os.replace", "os.write", "tempfile.mkstemp", "shutil.copyfile"):
        module, name = target.split(".")
        monkeypatch.setattr(target, failing(getattr(sys.modules[module], name)))
    acknowledged = None
    with contextlib.suppress(OSError):
        acknowledged = add(store, mask * 0, user="ben", no_tumour=True)
    monkeypatch.undo()
    again = LabelStore(store.folder)
    again.recover()
    for known in (store, again):
        assert known.current("case1").number == (2 if acknowledged else 1)
        assert voxels(known.final_path("case1")).sum() == (0 if acknowledged else 24)
    assert not list(store.folder.rglob(".writing-*")) and again.audit.broken_links() == []
    assert len(list((store.history / "case1").iterdir())) == (2 if acknowledged else 1)


def test_write_that_fails_unnoticed_is_noticed(store, mask, monkeypatch):
    """Image writers may report success on a full disk."""
    monkeypatch.setattr("lib.labels.label_store.sitk.WriteImage", lambda *_, **__: None)
    with pytest.raises(OSError, match="is the disk full"):
        add(store, mask)
    assert store.current("case1") is None and not list(store.history.glob("*/*"))


SUBMIT = """
import sys
sys.path.insert(0, sys.argv[1])
import lib.paths, numpy as np, SimpleITK as sitk
from pathlib import Path
from lib.labels.label_store import LabelStore
store = LabelStore(Path(sys.argv[2]))
mask = sitk.GetImageFromArray(np.random.RandomState(0).randint(0, 2, (16, 32, 32)).astype(np.uint8))
for number in range(1000):
    version = store.add("case1", mask, {"user": sys.argv[3], "no_tumour": False})
    print(version.number, version.sha256, flush=True)
"""


def test_nothing_acknowledged_is_lost_by_kill_9(store, tmp_path):
    """Two processes submit to one case and are killed in the midst of it."""
    acknowledged: dict[int, str] = {}
    for moment in (0.25, 0.4):
        command = [sys.executable, "-c", SUBMIT, str(LABEL_APP), str(store.folder)]
        processes = [subprocess.Popen([*command, user], stdout=subprocess.PIPE, text=True) for user in ("anna", "ben")]
        first = [process.stdout.readline() for process in processes]
        time.sleep(moment)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        for process, line in zip(processes, first, strict=True):
            for answer in (line + process.communicate()[0]).splitlines():
                number, *digest = answer.split()
                if digest and len(digest[0]) == 64:
                    assert int(number) not in acknowledged
                    acknowledged[int(number)] = digest[0]
        again = LabelStore(store.folder)
        again.recover()
        kept = {version.number: version.sha256 for version in again.versions("case1")}
        assert len(acknowledged) >= 4 and acknowledged.items() <= kept.items()
        assert not list(store.folder.rglob(".writing-*"))
        assert file_sha256(again.final_path("case1")) == again.current("case1").sha256
