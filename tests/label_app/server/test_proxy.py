"""The PACS behind the server: DICOMweb's searches and retrievals, and nothing else of it."""

import http.server
import threading

import pytest
from lib.server.dicomweb_paths import clean_query, may_read, may_store
from lib.server.routes import proxy

UID = "1.2.840.113619.2"


@pytest.fixture
def pacs():
    """A PACS that notes what it is asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            body = b"[]"
            self.send_response(302 if "9.9" in self.path else 200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Set-Cookie", "pacs=1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/dicom-web", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(serve, made_up_app, pacs):
    made_up_app.studies = pacs[0]
    with serve() as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "studies",
        f"studies/{UID}/series",
        f"studies/{UID}/metadata",
        f"studies/{UID}/series/{UID}/instances/{UID}/frames/1,2",
        f"studies/{UID}/series/{UID}/instances/{UID}/bulk/00420011",
        f"studies/{UID}/series/{UID}/thumbnail",
    ],
)
def test_dicomweb_is_passed_on(client, pacs, path):
    answer = client.get(
        f"/proxy/dicom/qido/{path}?limit=1&includefield=00081030", headers={"Cookie": "igtv_login=secret"}
    )
    assert answer.status_code == 200 and answer.json() == []
    asked, headers = pacs[1][-1]
    assert asked == f"/dicom-web/{path}?limit=1&includefield=00081030"  # with its query
    assert "cookie" not in {name.lower() for name in headers}
    assert "set-cookie" not in answer.headers and "sandbox" in answer.headers["content-security-policy"]


OUT_OF_REACH = [
    "..%2Fsystem",
    "..%2f..%2finstances",
    "%2e%2e/system",
    "studies/../../system",
    "studies/..%2F..%2Fsystem",
    f"studies/{UID}%2F..%2F..%2Fsystem",
    "studies/..",
    "studies/1..2",
    "system",
    "instances/abc/file",
    "tools/find",
    "studies%3Fx",
    "studies%0d%0aX:1",
    f"studies/{UID}/series/{UID}/instances/{UID}/bulk/%2e%2e",
]


def test_the_rest_of_the_pacs_is_out_of_reach(client, pacs):
    for path in OUT_OF_REACH:
        for operation in ("qido/", "wado/", "stow/", ""):
            for method in ("GET", "POST"):
                answer = client.request(method, f"/proxy/dicom/{operation}{path}")
                assert answer.status_code in (403, 404, 405), (method, operation, path)
    assert pacs[1] == []


def test_storing_needs_the_check(client, pacs):
    answer = client.post("/proxy/dicom/wado/studies", content=b"x", headers={"Content-Type": "application/json"})
    assert answer.status_code == 403 and pacs[1] == []


def test_what_is_stored_is_counted_while_it_comes(client, monkeypatch):
    """A body in chunks announces no length."""
    monkeypatch.setattr(proxy, "MAX_STORE_BYTES", 1000)
    received = []
    monkeypatch.setattr(proxy, "receive_stow", lambda app, kind, body, *_: received.append(len(body)))
    kind = {"Content-Type": "multipart/related; boundary=b"}
    for pieces, status in ((10, 200), (11, 413)):
        for body in (b"x" * 100 * pieces, (b"x" * 100 for _ in range(pieces))):
            assert client.post("/proxy/dicom/wado/studies", content=body, headers=kind).status_code == status
    assert received == [1000, 1000]


def test_redirects_of_the_pacs_are_not_followed(client, pacs):
    answer = client.get("/proxy/dicom/wado/studies/9.9/metadata")
    assert answer.status_code == 502 and len(pacs[1]) == 1


def test_a_pacs_that_is_away_is_said(serve, made_up_app):
    made_up_app.studies = "http://127.0.0.1:9/dicom-web"
    with serve() as client:
        answer = client.get("/proxy/dicom/qido/studies")
    assert answer.status_code == 502 and "does not answer" in answer.json()["detail"]


def test_without_a_pacs_there_is_nothing_to_pass_on(local):
    assert local.get("/proxy/dicom/qido/studies").status_code == 404


def test_paths_and_queries_outside_of_dicomweb_are_refused():
    assert may_store("studies") and may_store(f"studies/{UID}") and not may_store("instances")
    assert not may_read("studies/\u0661.2") and not may_read("studies\n")
    assert clean_query("PatientName=*&limit=5") and not clean_query("a\r\nb") and not clean_query("x" * 5000)
