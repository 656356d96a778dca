"""Who gets an answer, and which pages may ask in a user's name."""

import io
from types import SimpleNamespace

import pytest
from lib.server import accounts as passwords
from lib.server import tokens
from lib.server.access import COOKIE, host_name, is_loopback
from lib.server.access_options import read_access
from lib.server.accounts import Accounts, hash_password, matches, read_accounts, write_account
from lib.server.routes.login import local_target
from lib.server.start import access_options, add_account, options

from .conftest import ELSEWHERE, NAME, PASSWORD


def log_in(client, password=PASSWORD, name=NAME):
    return client.post("/auth/token", data={"username": name, "password": password, "grant_type": "password"})


@pytest.fixture
def clock(monkeypatch):
    """`clock.now`: the time in s that passwords and tokens go by; only a test moves it on."""
    time = SimpleNamespace(now=1000.0)
    time.monotonic = lambda: time.now
    for module in (passwords, tokens):
        monkeypatch.setattr(module, "time", time)
    return time


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
    client = serve(accounts, client=ELSEWHERE, base_url="https://server.example")
    paths = ["/info/", "/datastore/", "/openapi.json", "/health", "/train/", "/proxy/dicom/qido/studies", "/nothing"]
    for path in paths:
        assert client.get(path).status_code == 401, path
    assert client.put("/datastore/label?image=case_a").status_code == 401
    assert client.get("/auth/").json()["enabled"] is True
    page = client.get("/ohif/viewer?x=1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Fohif%2Fviewer%3Fx%3D1")


def test_token_as_monailabel_clients_use_it(serve, accounts):
    client = serve(accounts, client=ELSEWHERE, base_url="https://server.example")
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


# s to wait after the fifth wrong password, the sixth, ...: twice as long each time, five minutes at most
WAITS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_guesses_wait_longer_every_time(serve, accounts, clock):
    """Even for a name that does not exist, and with the right password; that one is let in after the wait."""
    client = serve(accounts)
    assert [log_in(client, "wrong password", "nobody").status_code for _ in range(5)] == [401] * 5
    for wait in WAITS:
        refused = log_in(client, "wrong password", "nobody")
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) == wait
        clock.now += wait - 0.5
        assert log_in(client).status_code == 429  # the address waits, whatever it sends, and waits no longer for it
        clock.now += 0.5
        assert log_in(client, "wrong password", "nobody").status_code == 401
    clock.now += 300
    assert log_in(client).status_code == 200
    assert [log_in(client, "wrong password").status_code for _ in range(5)] == [401] * 5  # from the beginning
    assert log_in(client, "wrong password").status_code == 429


def test_name_and_address_wait_each_for_itself(serve, accounts_hash, clock):
    """A name that was guessed at waits wherever it comes from, an address whatever name it gives."""
    accounts = Accounts({"anna": accounts_hash, "ben": accounts_hash})

    def at(address):
        return serve(accounts, client=(address, 50000), base_url="https://server.example")

    guesser, other = at("192.0.2.7"), at("192.0.2.8")
    assert [log_in(guesser, "wrong password", "anna").status_code for _ in range(5)] == [401] * 5
    assert log_in(other, name="anna").status_code == 429
    assert log_in(guesser, name="ben").status_code == 429
    assert log_in(other, name="ben").status_code == 200
    clock.now += 1
    assert log_in(other, name="anna").status_code == 200


def test_a_few_wrong_passwords_are_forgotten_after_a_quarter_of_an_hour(serve, accounts, clock):
    client = serve(accounts)
    assert [log_in(client, "wrong password").status_code for _ in range(4)] == [401] * 4
    clock.now += 15 * 60 + 1
    assert [log_in(client, "wrong password").status_code for _ in range(5)] == [401] * 5
    assert log_in(client).status_code == 429


def test_a_token_is_good_for_twelve_hours(serve, accounts, clock):
    """Also the one in the cookie, which a browser is told to keep as long."""
    client, page = (serve(accounts, client=ELSEWHERE, base_url="https://server.example") for _ in range(2))
    headers = {"Authorization": f"Bearer {log_in(client).json()['access_token']}"}
    cookie = page.post("/login", data={"username": NAME, "password": PASSWORD}, follow_redirects=False)
    assert f"max-age={12 * 60 * 60};" in cookie.headers["set-cookie"].lower()
    token = cookie.cookies[COOKIE]
    page.cookies.clear()
    in_a_cookie = {"Cookie": f"{COOKIE}={token}"}
    clock.now += 12 * 60 * 60 - 0.5
    assert client.get("/info/", headers=headers).status_code == 200
    assert page.get("/info/", headers=in_a_cookie).status_code == 200
    clock.now += 0.5
    assert client.get("/info/", headers=headers).status_code == 401
    assert page.get("/info/", headers=in_a_cookie).status_code == 401


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


@pytest.fixture
def no_variables(monkeypatch):
    for name in ("IGTV_PASSWORD", "IGTV_ACCOUNTS", "IGTV_ORIGINS", "IGTV_BEHIND_TLS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def access_of(*arguments):
    return access_options(options(["--studies", "x", *arguments]))


def test_exposed_server_without_a_password_does_not_start(no_variables, monkeypatch):
    for more in ([], ["--ssl_certfile", "cert.pem"], ["--behind_tls_proxy", "192.0.2.10"]):
        with pytest.raises(ValueError, match="needs accounts"):
            access_of("--host", "0.0.0.0", *more)
    assert not access_of().accounts
    monkeypatch.setenv("IGTV_PASSWORD", "a shared password")
    assert access_of("--host", "0.0.0.0", "--ssl_certfile", "cert.pem").accounts
    with pytest.raises(ValueError, match="no origin"):
        access_of("--origins", "https://*.example")


def test_exposed_server_without_encryption_does_not_start(no_variables, monkeypatch):
    monkeypatch.setenv("IGTV_PASSWORD", "a shared password")
    for host in ("0.0.0.0", "::", "192.0.2.1", "server.example"):
        with pytest.raises(ValueError, match="unencrypted.*--ssl_certfile.*--behind_tls_proxy"):
            access_of("--host", host)
    for host in ("localhost", "127.0.0.1", "::1"):
        assert access_of("--host", host).accounts
    assert access_of("--host", "0.0.0.0", "--behind_tls_proxy", "192.0.2.10").tls_proxies == ["192.0.2.10"]
    monkeypatch.setenv("IGTV_BEHIND_TLS_PROXY", "192.0.2.10, 2001:db8::/64")
    assert access_of("--host", "0.0.0.0").tls_proxies == ["192.0.2.10", "2001:db8::/64"]


@pytest.mark.parametrize("value", ["*", "true", "proxy.example", "0.0.0.0/0", "::/0"])
def test_a_proxy_is_named_by_its_address(no_variables, monkeypatch, value):
    """Who is believed about where a request comes from is never everybody."""
    with pytest.raises(ValueError, match="is no address of a computer or network"):
        access_of("--behind_tls_proxy", value)
    monkeypatch.setenv("IGTV_BEHIND_TLS_PROXY", value)
    with pytest.raises(ValueError, match="IGTV_BEHIND_TLS_PROXY"):
        read_access()


def test_nobody_elsewhere_is_asked_for_a_password_in_the_clear(serve, accounts):
    """The rule of the request holds however the server was started; nothing of the request is looked at."""
    client = serve(accounts, client=ELSEWHERE, base_url="http://server.example:8000")
    for method, path in (("GET", "/auth/"), ("GET", "/login"), ("GET", "/ohif/"), ("POST", "/auth/token")):
        refused = client.request(method, path, headers={"X-Forwarded-Proto": "https"})
        assert refused.status_code == 403 and "https only" in refused.json()["detail"], path
    assert log_in(client).status_code == 403
    assert log_in(serve(accounts)).status_code == 200  # on the server's own computer
    proxied = serve(accounts, base_url="http://viewer.example")  # by a proxy there that says nothing of https
    assert log_in(proxied).status_code == 403


def test_a_named_proxy_is_believed_about_https_and_the_client(serve, accounts, clock):
    """Guesses count for the address that sent them, not for the proxy."""
    behind = {"accounts": accounts, "base_url": "http://server.example:8000", "tls_proxies": ["192.0.2.10"]}
    proxy, other = serve(**behind, client=("192.0.2.10", 1)), serve(**behind, client=ELSEWHERE)

    def sent_by(client, peer="198.51.100.9", scheme="https", name=NAME, password=PASSWORD):
        form = {"username": name, "password": password}
        headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-For": peer}
        return client.post("/login", data=form, headers=headers, follow_redirects=False)

    answer = sent_by(proxy)
    assert answer.status_code == 303 and "secure" in answer.headers["set-cookie"].lower()
    assert sent_by(proxy, scheme="http").status_code == 403
    assert sent_by(other).status_code == 403
    guesses = [sent_by(proxy, name=f"nobody{number}", password="wrong password").status_code for number in range(6)]
    assert guesses[-1] == 429 and sent_by(proxy).status_code == 429
    assert sent_by(proxy, peer="198.51.100.8").status_code == 303


def test_this_computer_is_told_from_others_and_a_host_from_its_port():
    assert is_loopback("127.0.0.9") and is_loopback("::1") and is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("192.0.2.1") and not is_loopback("") and not is_loopback("::ffff:192.0.2.1")
    assert host_name("LOCALHOST:1") == "localhost" and host_name("[::1]:8000") == "::1"


def test_answers_tell_browsers_to_be_careful(local):
    headers = local.get("/info/").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["cache-control"] == "no-store"
    assert not Accounts()
