"""The whole server: layers of checks round the routes."""

import logging
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ..labels import routes as submit_panel
from . import lifecycle
from .access import Access
from .access_options import AccessOptions
from .accounts import Accounts
from .body_limit import BodyLimit
from .errors import ErrorAnswers, answer
from .routes import cases, closed, infer, information, learning, login, proxy, sessions, viewer
from .self_check import Check
from .tokens import Tokens
from .workers import Workers

logger = logging.getLogger(__name__)


def create_application(app: Any, access: AccessOptions, checks: Sequence[Check] = ()) -> ASGIApp:
    """The server of an app.

    Args:
        app: `IgtvApp`.
        access: who may use it.
        checks: of the start, shown at `/health`.

    Returns:
        ASGI application.
    """

    @asynccontextmanager
    async def lifespan(server: FastAPI):
        app.server_mode(True)
        app.on_init_complete()
        yield
        lifecycle.end(app)

    server = FastAPI(title="IGTV annotation", docs_url=None, redoc_url=None, lifespan=lifespan, version=app.version)
    server.state.checks = list(checks)
    server.add_middleware(ErrorAnswers)
    server.add_exception_handler(RequestValidationError, _invalid_request)
    server.add_exception_handler(HTTPException, _http_error)
    add_routes(server, app, access.accounts)
    layers: ASGIApp = BodyLimit(server, int(app.options.max_upload_mb * 1e6))
    tokens = server.state.tokens
    layers = Access(layers, access.accounts, tokens, access.origins)
    if access.origins:
        layers = CORSMiddleware(
            layers,
            allow_origins=list(access.origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Accept"],
            expose_headers=["Content-Disposition"],
        )
    return ProxyHeadersMiddleware(layers, list(access.tls_proxies)) if access.tls_proxies else layers


def add_routes(server: FastAPI, app: Any, accounts: Accounts) -> None:
    """Add every route to `server`."""
    workers, server.state.tokens = Workers(app.options.max_waiting), Tokens(accounts.stored)
    server.include_router(login.create_router(accounts, server.state.tokens))
    server.include_router(information.create_router(app))
    for module in (infer, cases, sessions, proxy):
        server.include_router(module.create_router(app, workers))
    server.include_router(learning.create_router(app))
    server.include_router(viewer.create_router())
    server.include_router(submit_panel.create_router(app))
    server.include_router(closed.create_router())


async def _http_error(request: Request, error: HTTPException) -> Response:
    """The framework calls every failure to read a body the client's; a disk that is full is not."""
    if isinstance(error.__cause__, OSError):
        status, text, headers = answer(error.__cause__)
        return JSONResponse({"detail": text}, status, headers)
    return await http_exception_handler(request, error)


async def _invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    """One line instead of FastAPI's list, and without the value that was sent."""
    parts = [f"{'.'.join(str(step) for step in item['loc'][1:]) or 'body'}: {item['msg']}" for item in error.errors()]
    return JSONResponse({"detail": "; ".join(parts)[:1000]}, 422)
