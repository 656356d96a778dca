"""What the tests with a server of its own take for that server."""

import http.server
import sys
import threading

import pytest

from .conftest import ServerProcess


def test_another_program_at_its_port_is_not_taken_for_the_server(tmp_path):
    """It answers at once, before the process that should have listened there has ended."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        command = [sys.executable, "-c", "import time; print('no port'); time.sleep(0.5); raise SystemExit(3)"]
        server = ServerProcess(command, f"http://127.0.0.1:{other.server_port}", tmp_path / "log.txt")
        with pytest.raises(pytest.fail.Exception, match="(?s)ended with 3.*no port"):
            server.start()
        other.shutdown()
