"""No request body above a size: refused by its announced length, else cut off while it arrives."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import send_json


class BodyLimit:
    """ASGI layer that refuses large bodies.

    Args:
        inner: the application.
        max_bytes: largest body in bytes.
    """

    def __init__(self, inner: ASGIApp, max_bytes: int):
        self.inner = inner
        self.max_bytes = int(max_bytes)
        self._text = f"The request is larger than the {self.max_bytes / 1e6:g} MB this server takes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit():
            await send_json(send, 400, "Content-Length is not a number.", {"Connection": "close"})
            return
        if int(announced) > self.max_bytes:
            await send_json(send, 413, self._text, {"Connection": "close"})
            return
        received = 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                # FastAPI passes on this kind alone while it reads a body
                raise HTTPException(413, self._text, {"Connection": "close"})
            return message

        await self.inner(scope, counted_receive, send)
