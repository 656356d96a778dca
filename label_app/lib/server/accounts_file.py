"""The file of accounts: lines `name:hash`, read anew while the server runs, written by the verb `account`."""

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from igtv.files import file_state

from .identifiers import USER

# as `accounts.hash_password` makes it; half of one, in a file that is just being written, is none
STORED = re.compile(r"scrypt\$[0-9a-f]{32}\$[0-9a-f]{128}")

logger = logging.getLogger(__name__)


class AccountsFile(Mapping[str, str]):
    """Hash by user name, as the file says now.

    Never empty: a file that is missing, damaged or without accounts while the server runs leaves the accounts as they
    were until it can be used again, and the log says so. So no mistake in it opens the server, or locks everybody out.

    Args:
        path: of the file.

    Raises:
        ValueError: it holds a line that is none, or no account.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()
        self._lock = threading.Lock()
        self._problem = ""
        self._state = file_state(self.path)
        self._hashes = read_hashes(self.path)

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, str]:
        with self._lock:
            state = file_state(self.path)  # before it is read: what is written meanwhile is read the next time
            if state is None or state != self._state or self._problem:
                self._read(state)
            return self._hashes

    def _read(self, state: tuple[int, int] | None) -> None:
        try:
            found = read_hashes(self.path)
        except (ValueError, OSError) as error:
            if str(error) != self._problem:
                logger.error("the accounts stay as they were, since their file cannot be used: %s", error)
            self._problem = str(error)
            return
        changed = sorted(name for name in found.keys() & self._hashes.keys() if found[name] != self._hashes[name])
        new, gone = sorted(found.keys() - self._hashes.keys()), sorted(self._hashes.keys() - found.keys())
        text = "accounts read again from %s: new: %s; with another password: %s; removed: %s"
        logger.info(text, self.path, *(", ".join(names) or "none" for names in (new, changed, gone)))
        self._problem, self._state, self._hashes = "", state, found


def read_hashes(path: Path) -> dict[str, str]:
    """Hash by user name.

    Raises:
        ValueError: for a line that is none, or without any account.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    by_name = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.strip().partition(":")
        if not USER.fullmatch(name) or not STORED.fullmatch(stored):
            raise ValueError(f"{path}, line {number}: not 'name:scrypt$salt$hash'; make it with the verb 'account'")
        by_name[name] = stored
    if not by_name:
        raise ValueError(f"{path} holds no account; add one with 'python -m label_app account NAME --file {path}'")
    return by_name
