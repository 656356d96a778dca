"""Who may use the server: passwords kept as salted hashes, guesses slowed down."""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from igtv.files import replacing

from .accounts_file import AccountsFile
from .errors import RequestError
from .identifiers import USER

MIN_LENGTH = 10
COST = {"n": 2**14, "r": 8, "p": 1}
FREE_TRIES, MAX_DELAY_S, FORGET_AFTER_S, MAX_REMEMBERED = 5, 300.0, 900.0, 10000


def hash_password(password: str) -> str:
    """`scrypt$<salt>$<hash>` of a password.

    Raises:
        ValueError: for a password that is too short.
    """
    if len(password) < MIN_LENGTH:
        raise ValueError(f"the password must have at least {MIN_LENGTH} characters")
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **COST).hex()}"


def matches(password: str, stored: str) -> bool:
    """Whether the password belongs to the hash; takes the same time either way."""
    _, salt, digest = stored.split("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **COST)
    return hmac.compare_digest(found.hex(), digest)


@dataclass
class Accounts:
    """Accounts of the server; without any it answers its own computer only.

    Attributes:
        by_name: hash by user name; of a file as it is now.
        shared: hash of one password for everybody; the name given at the login is taken as it is.
    """

    by_name: Mapping[str, str] = field(default_factory=dict)
    shared: str = ""
    _nobody: str = field(default_factory=lambda: hash_password(secrets.token_hex(16)), repr=False)
    _failures: dict[str, tuple[int, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __bool__(self) -> bool:
        return bool(self.by_name or self.shared)

    def login(self, name: str, password: str, peer: str) -> str:
        """The user's name, when the password is right.

        Args:
            name: as given.
            password: as given.
            peer: address of the client; guesses are counted per address and per name.

        Raises:
            RequestError: 401 for a wrong name or password, 429 when there were too many guesses.
        """
        keys = (f"address {peer}", f"name {name[:64]}")
        self._wait_is_over(keys)
        well_formed = bool(USER.fullmatch(name))
        stored = self.by_name.get(name, self.shared or self._nobody) if well_formed else self._nobody
        right = len(password) <= 1024 and matches(password, stored)
        if not (well_formed and right):
            self._count_failure(keys)
            raise RequestError("Wrong name or password.", 401)
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)
        return name

    def stored(self, name: str) -> str:
        """Hash that a user logs in with now; empty for nobody's name."""
        return self.by_name.get(name, self.shared)

    def _wait_is_over(self, keys: tuple[str, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            for key in keys:
                count, last = self._failures.get(key, (0, 0.0))
                delay = min(MAX_DELAY_S, 2.0 ** (count - FREE_TRIES)) if count >= FREE_TRIES else 0.0
                if now < last + delay:
                    wait = max(1, round(last + delay - now))
                    raise RequestError("Too many wrong passwords; wait a moment.", 429, {"Retry-After": str(wait)})

    def _count_failure(self, keys: tuple[str, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._failures) > MAX_REMEMBERED:
                self._failures = {k: v for k, v in self._failures.items() if now - v[1] < FORGET_AFTER_S}
            for key in keys:
                count, last = self._failures.get(key, (0, now))
                self._failures[key] = (1 if now - last > FORGET_AFTER_S else count + 1, now)


def read_accounts(path: str | Path | None, environment: Mapping[str, str] = os.environ) -> Accounts:
    """Accounts from a file of lines `name:hash`, or one shared password from the variable `IGTV_PASSWORD`.

    The file is read again when it has changed (`AccountsFile`).

    Args:
        path: file of `python -m label_app account`; empty: the variable `IGTV_ACCOUNTS` names it, if set.
        environment: the variables.

    Raises:
        ValueError: for a line that is none, or a shared password that is too short.
        OSError: the file cannot be read.
    """
    path = path or environment.get("IGTV_ACCOUNTS", "")
    by_name = AccountsFile(path) if path else {}
    shared = environment.get("IGTV_PASSWORD", "")
    try:
        return Accounts(by_name, hash_password(shared) if shared else "")
    except ValueError as error:
        raise ValueError(f"IGTV_PASSWORD: {error}") from None


def write_account(path: str | Path, name: str, password: str) -> None:
    """Add an account to the file, or change its password.

    Raises:
        ValueError: for a name or password that is not taken.
    """
    if not USER.fullmatch(name):
        raise ValueError(f"'{name}' is no user name: letters, digits, . _ @ -")
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for line in lines if line.partition(":")[0] != name] + [f"{name}:{hash_password(password)}"]
    with replacing(path, mode=0o600) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
