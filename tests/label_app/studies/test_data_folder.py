"""Whose a data folder is: who only looks at it leaves everything as it is."""

import fcntl

import pytest
from lib.labels.label_store import LabelStore
from lib.studies.data_folder import LOCK_NAME, FolderTaken, is_only_looked_at, looking, take
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.info_file import InfoFile
from lib.studies.local_datastore import PairedLocalDatastore

from .made_up_pacs import HangingPacs

SERIES = [("1.2.1.1", "1.2.1", "CT"), ("1.2.1.2", "1.2.1", "PT")]


@pytest.fixture
def of_another(tmp_path):
    """Makes the folder that of another process until the end of the test."""
    lock = (tmp_path / LOCK_NAME).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write("1")
    lock.flush()
    yield lock
    lock.close()


def test_one_server_has_a_folder(tmp_path):
    assert not is_only_looked_at(tmp_path)
    lock = take(tmp_path)
    with pytest.raises(FolderTaken, match=r"another server \(process \d+\) uses .*; stop it first"):
        take(tmp_path)
    assert not is_only_looked_at(tmp_path)  # it is this process's
    lock.close()
    take(tmp_path).close()


def test_a_folder_that_another_process_serves_is_only_looked_at(tmp_path, of_another):
    assert is_only_looked_at(tmp_path)
    of_another.close()
    assert not is_only_looked_at(tmp_path)


def test_looking_ends(tmp_path):
    with looking():
        assert is_only_looked_at(tmp_path)
    assert not is_only_looked_at(tmp_path)


def unfinished_proposal(data_dir):
    """What a running server is just writing."""
    path = data_dir / "labels" / "original" / ".writing-abc.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


def test_a_second_process_leaves_what_the_server_is_writing(tmp_path, of_another):
    (tmp_path / "studies").mkdir()
    path, notes = unfinished_proposal(tmp_path), tmp_path / "datastore_v2.json"
    notes.write_text("{")
    assert PairedLocalDatastore(tmp_path / "studies", tmp_path).recovered == []
    assert path.is_file() and notes.read_text() == "{"
    of_another.close()
    assert len(PairedLocalDatastore(tmp_path / "studies", tmp_path).recovered) == 2
    assert not path.exists() and not notes.exists()


def test_who_looks_puts_nothing_right(tmp_path):
    path = unfinished_proposal(tmp_path)
    (tmp_path / "datastore_v2.json").write_text("{")
    with looking():
        assert LabelStore(tmp_path / "labels").recover() == []
        assert InfoFile(tmp_path / "datastore_v2.json").recover() == []
    assert path.is_file() and (tmp_path / "datastore_v2.json").is_file()


def test_who_looks_exchanges_no_labels_with_the_pacs(tmp_path, monkeypatch):
    exchanged = []
    monkeypatch.setattr(PairedDicomWebDatastore, "_exchange_labels", lambda self: exchanged.append(self))
    with HangingPacs(SERIES) as pacs:
        with looking():
            store = PairedDicomWebDatastore(pacs.address, tmp_path)
        assert store.case_ids() == ["1.2.1.1"] and exchanged == []
        assert all(path.startswith("/dicom-web/series?") for path in pacs.asked)
