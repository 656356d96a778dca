"""A PACS that answers searches out of a list and keeps everything else waiting, for tests of who waits for it."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# far above what a test needs on a busy computer, and below the two minutes after which the datastore gives up
HOLD_S = 100.0
VR = {"0020000E": "UI", "0020000D": "UI", "00080060": "CS", "00100020": "LO", "00201209": "IS"}


class HangingPacs:
    """Use it with `with`.

    Args:
        series: tuples of series UID, study UID, modality.

    Attributes:
        address: of its DICOMweb.
        silent: set it, and searches are not answered either.
        dripping: set it, and retrievals are answered, byte by byte and without end.
        asked: paths of all requests.
        let_go: paths of the requests that were kept waiting, and whose waiting this PACS ended.
    """

    def __init__(self, series: list[tuple[str, str, str]]):
        self.series = series
        self.silent, self.dripping, self._end = threading.Event(), threading.Event(), threading.Event()
        self.asked: list[str] = []
        self.let_go: list[str] = []

    def __enter__(self) -> "HangingPacs":
        pacs = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                pacs.asked.append(self.path)
                parts = urlsplit(self.path)
                if pacs.dripping.is_set() and not parts.path.endswith("/series"):
                    self.send_response(200)
                    self.send_header("content-type", 'multipart/related; type="application/dicom"; boundary=b')
                    self.end_headers()
                    until = time.monotonic() + HOLD_S
                    while not pacs._end.wait(0.05) and time.monotonic() < until:
                        self.wfile.write(b"x")
                    pacs.let_go.append(self.path)
                    return
                if pacs.silent.is_set() or not parts.path.endswith("/series"):
                    pacs._end.wait(HOLD_S)
                    pacs.let_go.append(self.path)
                    return
                modality, query = None, parse_qs(parts.query)
                modality = (query.get("Modality") or query.get("00080060") or [""])[0]
                offset = int(query.get("offset", ["0"])[0])
                body = json.dumps([pacs.described(one) for one in pacs.series if one[2] == modality][offset:]).encode()
                self.send_response(200)
                self.send_header("content-type", "application/dicom+json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def release(self) -> None:
        """Close every connection that waits."""
        self._end.set()

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def described(one: tuple[str, str, str]) -> dict:
        values = {"0020000E": one[0], "0020000D": one[1], "00080060": one[2], "00100020": "P1", "00201209": 3}
        return {tag: {"vr": VR[tag], "Value": [value]} for tag, value in values.items()}
