"""Who gets an answer, and which pages may ask in a user's name."""

import io

import pytest
from lib.server.access import COOKIE, host_name, is_loopback
from lib.server.accounts import Accounts, hash_password, matches, read_accounts, write_account
from lib.server.routes.login import local_target
from lib.server.start import access_options, add_account, options

from .conftest import ELSEWHERE, NAME, PASSWORD


def log_in(client, password=PASSWORD, name=NAME):
    return client.post("/auth/token", data={"username": name, "password": password, "grant_type": "password"})


def test_without_accounts_only_this_computer_is_answered(serve):
    assert serve().get("/info/").status_code == 200
    refused = serve(client=ELSEWHERE).get("/info/")
    assert refused.status_code == 403
    assert "accounts" in refused.json()["detail"]


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"])
def test_without_accounts_a_proxy_is_not_taken_for_this_computer(local, header):
    assert local.get("/info/", headers={header: "127.0.0.1"}).status_code == 403


def test_without_accounts_other_names_of_this_computer_are_refused(serve):
    """A foreign name that resolves to 127.0.0.1 would otherwise let a page of its owner in."""
    assert serve(base_url="http://rebound.example:8000").get("/info/").status_code == 403
    assert serve(base_url="http://localhost:8000").get("/info/").status_code == 200


def test_pages_of_other_sites_change_nothing(serve):
    client = serve(origins=["https://viewer.example"])
    body = {"json": {}}
    assert client.post("/activelearning/first", headers={"Origin": "https://evil.example"}, **body).status_code == 403
    assert client.post("/activelearning/first", headers={"Origin": "null"}, **body).status_code == 403
    assert client.post("/activelearning/first", headers={"Sec-Fetch-Site": "cross-site"}, **body).status_code == 403
    assert client.post("/activelearning/first", headers={"Origin": "https://viewer.example"}, **body).status_code == 200
    assert client.post("/activelearning/first", headers={"Origin": "http://127.0.0.1:8000"}, **body).status_code == 200


def test_origins_are_never_reflected(serve):
    """Only a listed origin may read answers, and never with cookies."""
    client = serve(origins=["https://viewer.example"])
    assert "access-control-allow-origin" not in client.get("/info/", headers={"Origin": "https://evil.example"}).headers
    allowed = client.get("/info/", headers={"Origin": "https://viewer.example"}).headers
    assert allowed["access-control-allow-origin"] == "https://viewer.example"
    assert "access-control-allow-credentials" not in allowed
    assert "access-control-allow-origin" not in serve().get("/info/", headers={"Origin": "https://a.example"}).headers


def test_with_accounts_nothing_is_open(serve, accounts):
    client = serve(accounts, client=ELSEWHERE, base_url="http://server.example:8000")
    paths = ["/info/", "/datastore/", "/openapi.json", "/health", "/train/", "/proxy/dicom/qido/studies", "/nothing"]
    for path in paths:
        assert client.get(path).status_code == 401, path
    assert client.put("/datastore/label?image=case_a").status_code == 401
    assert client.get("/auth/").json()["enabled"] is True
    page = client.get("/ohif/viewer?x=1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Fohif%2Fviewer%3Fx%3D1")


def test_token_as_monailabel_clients_use_it(serve, accounts):
    client = serve(accounts, client=ELSEWHERE, base_url="http://server.example:8000")
    token = log_in(client).json()
    assert token["token_type"] == "bearer"
    headers = {"Authorization": f"bearer {token['access_token']}"}
    assert client.get("/info/", headers=headers).status_code == 200
    assert client.get("/auth/token/valid", headers=headers).json()["username"] == NAME
    assert client.get("/info/", headers={"Authorization": "Bearer guessed"}).status_code == 401
    client.post("/logout", headers=headers)
    assert client.get("/info/", headers=headers).status_code == 401


def test_page_login_sets_a_cookie_pages_cannot_read(serve, accounts):
    client = serve(accounts, client=ELSEWHERE, base_url="https://server.example")
    assert 'name="password"' in client.get("/login?next=/ohif/").text
    form = {"username": NAME, "password": PASSWORD, "next": "/ohif/"}
    answer = client.post("/login", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ohif/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(COOKIE) and all(word in cookie for word in ("httponly", "samesite=strict", "secure"))
    assert client.get("/info/").status_code == 200
    wrong = client.post("/login", data={**form, "password": "wrong password"}, follow_redirects=False)
    assert wrong.status_code == 401 and "Wrong name or password" in wrong.text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nb", ""])
def test_login_leads_to_no_other_site(target):
    assert local_target(target) == "/"


def test_guesses_are_slowed_down_even_for_names_that_do_not_exist(serve, accounts):
    client = serve(accounts)
    answers = [log_in(client, "wrong password", "nobody") for _ in range(7)]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
    assert log_in(client).status_code == 429  # the address waits, whatever it sends


def test_accounts_file_keeps_hashes_only(tmp_path):
    file = tmp_path / "accounts.txt"
    write_account(file, "anna", "a long password")
    write_account(file, "ben", "another password")
    write_account(file, "anna", "a changed password")
    text = file.read_text()
    assert "password" not in text and file.stat().st_mode & 0o077 == 0
    accounts = read_accounts(file, {})
    assert set(accounts.by_name) == {"anna", "ben"}
    assert accounts.login("anna", "a changed password", "::1") == "anna"
    with pytest.raises(ValueError, match="at least"):
        hash_password("short")
    assert not matches("a long password", accounts.by_name["anna"])
    file.write_text("anna:plain\n")
    with pytest.raises(ValueError, match="line 1"):
        read_accounts(file, {})


def test_account_verb(tmp_path, monkeypatch, capsys):
    """With the password on standard input, as scripts give it; it is never an argument."""
    file = tmp_path / "accounts.txt"
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert add_account(["anna", "--file", str(file)]) == 0
    assert read_accounts(file, {}).login("anna", "a long password", "::1") == "anna"
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert add_account(["ben", "--file", str(file)]) == 2
    assert "at least" in capsys.readouterr().err and "ben" not in file.read_text()


def test_shared_password_takes_the_name_that_is_given():
    accounts = read_accounts(None, {"IGTV_PASSWORD": "a shared password"})
    assert accounts.login("dr.berg", "a shared password", "::1") == "dr.berg"


def test_exposed_server_without_a_password_does_not_start(monkeypatch):
    monkeypatch.delenv("IGTV_PASSWORD", raising=False)
    monkeypatch.delenv("IGTV_ACCOUNTS", raising=False)
    with pytest.raises(ValueError, match="needs accounts"):
        access_options(options(["--studies", "x", "--host", "0.0.0.0"]))
    assert not access_options(options(["--studies", "x"])).accounts
    monkeypatch.setenv("IGTV_PASSWORD", "a shared password")
    assert access_options(options(["--studies", "x", "--host", "0.0.0.0"])).accounts
    with pytest.raises(ValueError, match="no origin"):
        access_options(options(["--studies", "x", "--origins", "https://*.example"]))


def test_addresses():
    assert is_loopback("127.0.0.9") and is_loopback("::1") and is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("192.0.2.1") and not is_loopback("") and not is_loopback("::ffff:192.0.2.1")
    assert host_name("LOCALHOST:1") == "localhost" and host_name("[::1]:8000") == "::1"


def test_answers_tell_browsers_to_be_careful(local):
    headers = local.get("/info/").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["cache-control"] == "no-store"
    assert not Accounts()
