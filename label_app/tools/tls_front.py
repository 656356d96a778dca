"""Https in front of a server that speaks http, for trials and tests.

Debian's Orthanc (1.10.1) can be set to https itself, but ends at the first connection.
"""

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from pathlib import Path

CHUNK = 1 << 16


class TlsFront(socketserver.ThreadingTCPServer):
    """Passes on what comes in over TLS, byte by byte; use it with `with`.

    Args:
        certificate: PEM file with certificate and key.
        port: of the server behind, on this computer.

    Attributes:
        port: of this one.
    """

    daemon_threads = True

    def __init__(self, certificate: Path, port: int):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behind = ("127.0.0.1", port)
        self.port = self.server_address[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)

    def __enter__(self) -> "TlsFront":
        threading.Thread(target=self.serve_forever, daemon=True, name="TLS").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        # a client that does not trust the certificate hangs up, a server that is down is not there
        with (
            contextlib.suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(self.server.behind) as server,
        ):
            _pass_on(client, server)


def _pass_on(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Both ways, until one of them hangs up."""
    while True:
        # what TLS has decrypted already does not show on the socket
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(CHUNK)
            if not data:
                return
            (server if source is client else client).sendall(data)
