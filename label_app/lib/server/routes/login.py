"""Logging in: `/auth/token` for MONAI Label's client and 3D Slicer, a page with a cookie for OHIF."""

from html import escape
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from ..access import COOKIE
from ..accounts import Accounts
from ..errors import RequestError
from ..tokens import Tokens

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in - IGTV</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px system-ui, sans-serif; background: #0b1a2b; color: #e8eef5; display: grid; place-items: center;
  min-height: 90vh; }}
form {{ display: grid; gap: .7rem; width: 18rem; }}
input, button {{ font: inherit; padding: .5rem; border-radius: .3rem; border: 1px solid #47617c; }}
button {{ background: #2f7fd1; color: #fff; cursor: pointer; }}
.problem {{ color: #ffb4a9; min-height: 1.2em; }}
</style></head><body>
<form method="post" action="{action}">
<h1>IGTV annotation</h1>
<label for="username">Name</label><input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="next" value="{target}">
<div class="problem" role="alert">{problem}</div>
<button>Log in</button>
</form></body></html>
"""
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


def local_target(target: str) -> str:
    """`target` when it is an address of this server, else the start page: a login leads to no other site."""
    parts = urlsplit(target)
    own = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if own and target.isprintable() and "\\" not in target else "/"


def create_router(accounts: Accounts, tokens: Tokens) -> APIRouter:
    """Routes of the login.

    Args:
        accounts: who may log in.
        tokens: where tokens are kept.
    """
    router = APIRouter(tags=["Login"])

    def peer(request: Request) -> str:
        return request.client.host if request.client else ""

    def page(request: Request, target: str, problem: str = "", status: int = 200, headers=None) -> HTMLResponse:
        action = f"{request.scope.get('root_path', '')}/login"
        html = PAGE.format(action=escape(action), target=escape(local_target(target)), problem=escape(problem))
        return HTMLResponse(html, status, {**(headers or {}), "Content-Security-Policy": PAGE_POLICY})

    def logged_in(request: Request, name: str, password: str) -> str:
        """A token for who has the right password."""
        stored = accounts.stored(name)
        return tokens.give(accounts.login(name, password, peer(request)), stored)

    @router.get("/auth/")
    def auth_enabled() -> dict:
        """What 3D Slicer asks first."""
        return {"enabled": bool(accounts), "client_id": "igtv", "realm": None}

    @router.post("/auth/token")
    def token(
        request: Request, username: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> dict[str, str | None]:
        """A token for a name and a password."""
        if not accounts:
            return {"access_token": None, "token_type": None}
        return {"access_token": logged_in(request, username, password), "token_type": "bearer"}

    @router.get("/auth/token/valid")
    def token_is_valid(request: Request) -> dict:
        """Who the caller is; the way here was barred to others."""
        return {"username": request.state.user, "email": None, "name": request.state.user, "roles": []}

    @router.get("/login", include_in_schema=False)
    def login_page(request: Request, next: str = "/"):
        """Page with the form."""
        if request.state.user:
            return RedirectResponse(local_target(next), 303)
        return page(request, next)

    @router.post("/login", include_in_schema=False)
    def login(
        request: Request,
        username: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",
    ):
        """Check the form, set the cookie, go on to the page that was asked for."""
        try:
            value = logged_in(request, username, password) if accounts else tokens.give(request.state.user, "")
        except RequestError as error:
            return page(request, next, str(error), error.http_status, error.headers)
        answer = RedirectResponse(local_target(next), 303)
        secure = request.url.scheme == "https"
        age = int(tokens.lifetime_s)
        answer.set_cookie(COOKIE, value, max_age=age, httponly=True, samesite="strict", secure=secure)
        return answer

    @router.post("/logout", include_in_schema=False)
    def logout(request: Request):
        """Make the token of the caller invalid."""
        tokens.take_back(request.cookies.get(COOKIE, ""))
        tokens.take_back(request.headers.get("authorization", "").partition(" ")[2])
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    return router
