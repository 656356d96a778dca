"""The file of accounts: the owner's alone, whole whatever happens, and obeyed while the server runs."""

import errno
import logging
import os

import pytest
from lib.server import accounts as passwords
from lib.server.access import COOKIE
from lib.server.accounts import Accounts, read_accounts, write_account
from lib.server.tokens import Tokens

from .conftest import ELSEWHERE

OLD, NEW = "a long password", "another password"


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


@pytest.fixture
def file(tmp_path):
    """A file with the accounts anna and ben."""
    path = tmp_path / "accounts.txt"
    for name in ("anna", "ben"):
        write_account(path, name, OLD)
    return path


@pytest.fixture
def client(serve, file):
    """A client elsewhere of a server that was started with the file."""
    return serve(read_accounts(file, {}), client=ELSEWHERE, base_url="https://server.example")


def log_in(client, name, password=OLD):
    return client.post("/auth/token", data={"username": name, "password": password})


def token_of(client, name, password=OLD):
    return {"Authorization": f"Bearer {log_in(client, name, password).json()['access_token']}"}


def cookie_of(client, name):
    answer = client.post("/login", data={"username": name, "password": OLD}, follow_redirects=False)
    token = answer.cookies[COOKIE]
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={token}"}


def status(client, headers=None):
    return client.get("/info/", headers=headers).status_code


def remove(file, name):
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(f"{name}:")))


def test_a_changed_password_ends_the_logins_with_the_old_one(client, file):
    anna, page, ben = token_of(client, "anna"), cookie_of(client, "anna"), token_of(client, "ben")
    assert [status(client, one) for one in (anna, page, ben)] == [200, 200, 200]
    write_account(file, "anna", NEW)
    assert [status(client, one) for one in (anna, page, ben)] == [401, 401, 200]
    assert log_in(client, "anna").status_code == 401
    assert status(client, token_of(client, "anna", NEW)) == 200


def test_a_removed_account_is_out_and_a_new_one_in(client, file, caplog):
    anna, ben = token_of(client, "anna"), token_of(client, "ben")
    before = file.read_text()
    with caplog.at_level(logging.INFO):
        remove(file, "ben")
        write_account(file, "cleo", NEW)
        assert [status(client, one) for one in (anna, ben)] == [200, 401]
    assert "new: cleo; with another password: none; removed: ben" in caplog.text
    assert log_in(client, "ben").status_code == 401
    assert status(client, token_of(client, "cleo", NEW)) == 200
    file.write_text(before)  # the account is back, what was given to it before is not
    assert status(client, ben) == 401 and status(client, token_of(client, "ben")) == 200


@pytest.mark.parametrize("how", ["missing", "empty", "damaged", "cut", "no text"])
def test_a_file_that_cannot_be_used_changes_nothing_and_the_log_says_so(client, file, caplog, how):
    """The server neither opens nor locks everybody out; once the file is whole again, it counts."""
    anna, good = token_of(client, "anna"), file.read_bytes()
    broken = {"empty": b"", "damaged": b"anna:plain\n", "cut": good[:-9], "no text": b"\xff" + good}
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(broken[how])
    assert status(client) == 401 and status(client, anna) == 200
    assert log_in(client, "ben").status_code == 200 and log_in(client, "ben", NEW).status_code == 401
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and "stay as they were" in errors[0] and str(file) in errors[0]
    file.write_bytes(good)
    remove(file, "anna")
    assert status(client, anna) == 401 and log_in(client, "ben").status_code == 200


def test_a_file_that_cannot_be_read_for_a_while_is_read_later(client, file, monkeypatch):
    """Though it was not changed in between."""
    anna = token_of(client, "anna")
    write_account(file, "anna", NEW)
    with monkeypatch.context() as away:
        away.setattr(type(file), "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "away")))
        assert status(client, anna) == 200
    assert status(client, anna) == 401


def test_a_password_that_is_changed_during_the_login_lets_nobody_in(client, file, monkeypatch):
    """The token of the login with the old one comes after the change."""
    matches = passwords.matches

    def slow(password, stored):
        found = matches(password, stored)
        write_account(file, "anna", NEW)
        assert status(client) == 401  # somebody asks, so the file is read
        return found

    monkeypatch.setattr(passwords, "matches", slow)
    anna = token_of(client, "anna")
    assert status(client, anna) == 401


def test_a_token_of_nobody_is_good_for_nothing():
    tokens = Tokens(Accounts().stored)
    assert tokens.user(tokens.give("anna", "")) is None and tokens.user("guessed") is None
