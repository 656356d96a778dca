"""Tokens of logged-in users: random, kept in memory only, gone after some hours, with the account or the server."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

LIFETIME_S = 12 * 3600.0
MAX_TOKENS = 10000


class Tokens:
    """Tokens and whom they were given to.

    Args:
        stored: hash of the password that a user logs in with now; empty for who has no account.
        lifetime_s: how long a token is good, in s.
    """

    def __init__(self, stored: Callable[[str], str], lifetime_s: float = LIFETIME_S):
        self.lifetime_s = lifetime_s
        self._stored = stored
        self._given: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()

    def give(self, user: str, stored: str) -> str:
        """A new token.

        Args:
            user: whom it is for.
            stored: hash of the user's password, as it was before the password was checked: the token of a login with a
                password that is changed meanwhile is good for nothing.
        """
        token, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._given = {key: value for key, value in self._given.items() if value[2] > now}
            while len(self._given) >= MAX_TOKENS:
                self._given.pop(next(iter(self._given)))
            self._given[self._key(token)] = (user, stored, now + self.lifetime_s)
        return token

    def user(self, token: str) -> str | None:
        """Whose token it is; None when it is none or too old, or the account has gone or got another password."""
        user, stored, until = self._given.get(self._key(token), ("", "", 0.0))
        if time.monotonic() >= until:
            return None
        if stored and self._stored(user) == stored:
            return user
        self.take_back(token)
        return None

    def take_back(self, token: str) -> None:
        """Make a token invalid."""
        with self._lock:
            self._given.pop(self._key(token), None)

    @staticmethod
    def _key(token: str) -> str:
        """Looked up by hash: comparing takes the same time whatever is guessed."""
        return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
