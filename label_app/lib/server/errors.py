"""Errors as JSON that a viewer can show, with the status that says whose fault it was."""

import json
import logging
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class RequestError(ValueError):
    """The request cannot be answered, and the text says why.

    Attributes:
        http_status: status of the answer.
        headers: further headers of the answer.
    """

    def __init__(self, text: str, http_status: int = 400, headers: dict[str, str] | None = None):
        super().__init__(text)
        self.http_status = http_status
        self.headers = headers or {}


def answer(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers for an error.

    Errors are told apart by an attribute `http_status` and by the names of their classes: MONAI Label can load `lib`
    again, and then two classes carry one name.

    Args:
        error: what a request raised.

    Returns:
        Status, text for the viewer, headers. What is no fault of the client keeps its text in the log, under a number.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "NetworkBusy" in names:
        return 503, f"Busy: {error}. Please try again.", {"Retry-After": str(getattr(error, "retry_after_s", 5))}
    status = getattr(error, "http_status", None)
    if isinstance(status, int):
        return status, str(error), dict(getattr(error, "headers", {}))
    if names & {"ImageNotFoundException", "LabelNotFoundException"}:
        return 404, getattr(error, "msg", str(error)), {}
    if "MONAILabelException" in names:
        return 400, getattr(error, "msg", str(error)), {}
    if isinstance(error, (ValueError, TypeError)):
        return 400, str(error), {}
    if isinstance(error, OSError) and error.errno in (28, 122):  # disk full, quota exceeded
        return 507, "The server's disk is full: nothing was stored. Please tell its administrator.", {}
    number = secrets.token_hex(4)
    logger.error("error %s", number, exc_info=error)
    return 500, f"The server failed ({type(error).__name__}); its log has the details under number {number}.", {}


class ErrorAnswers:
    """ASGI layer that turns every error of what it wraps into JSON.

    Args:
        inner: the application.
    """

    def __init__(self, inner: ASGIApp):
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.inner(scope, receive, watched_send)
        except Exception as error:
            if started:
                raise
            await send_json(send, *answer(error))


async def send_json(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    """Send `{"detail": text}`.

    Args:
        send: of the request.
        status: HTTP status.
        text: what a viewer shows.
        headers: further headers.
    """
    body = json.dumps({"detail": text}).encode()
    lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
