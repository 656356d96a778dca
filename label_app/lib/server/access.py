"""Who gets in: this computer alone, or users who logged in; and no page of another site in their name."""

import ipaddress
from collections.abc import Collection
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .accounts import Accounts
from .errors import send_json
from .tokens import Tokens

COOKIE = "igtv_login"
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via")
PUBLIC_PATHS = {"/login", "/logout", "/auth/", "/auth/token", "/favicon.ico"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
LOCAL_USER = "local"
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Access:
    """ASGI layer in front of everything.

    Without accounts it answers clients on the same computer, addressed by a local name, and not what a proxy passes on.
    With accounts it wants a token: in the header `Authorization: Bearer`, or for pages of this server in a cookie; and
    from other computers https, so that nobody is asked for a password that would cross the network in the clear.
    Either way a page of another site may not change anything, unless its origin is listed.

    Args:
        inner: the application; finds the name of the user in `request.state.user`.
        accounts: who may log in.
        tokens: of those who did.
        origins: other origins whose pages may call the server, as `https://viewer.example`.
    """

    def __init__(self, inner: ASGIApp, accounts: Accounts, tokens: Tokens, origins: Collection[str] = ()):
        self.inner = inner
        self.accounts = accounts
        self.tokens = tokens
        self.origins = set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        guarded_send = with_security_headers(send, scope)
        refusal = self._refused(scope, headers)
        if refusal:
            await send_json(guarded_send, 403, refusal)
            return
        user = self._user(headers)
        if user is None and scope["path"] not in PUBLIC_PATHS:
            await self._ask_for_login(scope, headers, guarded_send)
            return
        scope.setdefault("state", {})["user"] = user
        await self.inner(scope, receive, guarded_send)

    def _refused(self, scope: Scope, headers: Headers) -> str:
        """Why this request gets no answer at all; empty when it may go on."""
        host = headers.get("host", "")
        if not self.accounts:
            if not is_loopback((scope.get("client") or ("", 0))[0]) or any(name in headers for name in FORWARDED):
                return (
                    "This server has no accounts, so it answers its own computer only. "
                    "Its administrator can set a password, see docs/security.md of the app."
                )
            if host_name(host) not in LOCAL_NAMES:
                return "Without accounts this server is addressed as 127.0.0.1 or localhost only."
        elif scope["scheme"] != "https" and not _is_from_here(scope, host):
            return (
                "Other computers use this server over https only: passwords and images would cross the network "
                "unencrypted. Its administrator can set up https, see docs/security.md of the app."
            )
        origin = headers.get("origin")
        if scope["method"] not in SAFE_METHODS:
            foreign = origin is not None and urlsplit(origin).netloc != host and origin not in self.origins
            cross_site = origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
            if foreign or cross_site:
                return "Pages of another site may not use this server; its administrator can list their origin."
        return ""

    def _user(self, headers: Headers) -> str | None:
        """Name of the user, None when nobody is logged in."""
        if not self.accounts:
            return LOCAL_USER
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.tokens.user(token.strip())
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return self.tokens.user(token) if token else None

    async def _ask_for_login(self, scope: Scope, headers: Headers, send: Send) -> None:
        """A page for people, 401 for programs."""
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            target = quote(scope["path"] + (f"?{query}" if query else ""), safe="")
            location = f"{scope.get('root_path', '')}/login?next={target}"
            await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        await send_json(send, 401, "Please log in.", {"WWW-Authenticate": "Bearer"})


def _is_from_here(scope: Scope, host: str) -> bool:
    """Whether a request comes from this computer, and not through a proxy on it, which passes on its own name."""
    return is_loopback((scope.get("client") or ("", 0))[0]) and host_name(host) in LOCAL_NAMES


def is_loopback(address: str) -> bool:
    """Whether an address is this computer's own."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def host_name(host: str) -> str:
    """Name in a `Host` header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def with_security_headers(send: Send, scope: Scope) -> Send:
    """`send` that adds the headers a browser obeys; answers other than OHIF's files are never kept in a cache."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            extra = dict(SECURITY_HEADERS)
            if not scope["path"].startswith("/ohif/"):
                extra["cache-control"] = "no-store"
            lines = [(k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in present]
            message = {**message, "headers": [*message["headers"], *lines]}
        await send(message)

    return wrapped
