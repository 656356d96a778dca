"""The file of accounts: the owner's alone, and whole whatever happens."""

import errno
import os

import pytest
from lib.server.accounts import read_accounts, write_account


def test_an_account_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "accounts"
    write_account(file, "anna", "a long password")
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()

    def refuse(*_):
        raise OSError(errno.EXDEV, "not here")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="not here"):
        write_account(file, "ben", "another password")
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    assert list(read_accounts(file, {}).by_name) == ["anna"]
