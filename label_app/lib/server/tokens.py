"""Tokens of logged-in users: random, kept in memory only, gone after some hours or with the server."""

import hashlib
import secrets
import threading
import time

LIFETIME_S = 12 * 3600.0
MAX_TOKENS = 10000


class Tokens:
    """Tokens and whom they were given to.

    Args:
        lifetime_s: how long a token is good, in s.
    """

    def __init__(self, lifetime_s: float = LIFETIME_S):
        self.lifetime_s = lifetime_s
        self._users: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def give(self, user: str) -> str:
        """A new token for `user`."""
        token, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._users = {key: value for key, value in self._users.items() if value[1] > now}
            while len(self._users) >= MAX_TOKENS:
                self._users.pop(next(iter(self._users)))
            self._users[self._key(token)] = (user, now + self.lifetime_s)
        return token

    def user(self, token: str) -> str | None:
        """Whose token it is; None when it is none or too old."""
        user, until = self._users.get(self._key(token), (None, 0.0))
        return user if time.monotonic() < until else None

    def take_back(self, token: str) -> None:
        """Make a token invalid."""
        with self._lock:
            self._users.pop(self._key(token), None)

    @staticmethod
    def _key(token: str) -> str:
        """Looked up by hash: comparing takes the same time whatever is guessed."""
        return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
