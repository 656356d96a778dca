"""The end of sessions.

MONAI Label's own clean-up does nothing before a session has been opened, and stops at one without its notes.
"""

import json
import logging
import time
from pathlib import Path

from monailabel.utils.sessions import Sessions

logger = logging.getLogger(__name__)


def remove_expired(sessions: Sessions) -> int:
    """Remove the sessions, with their images, that nobody used for as long as they may live.

    Args:
        sessions: of the app.

    Returns:
        How many were removed.
    """
    now, removed = time.time(), 0
    for folder in [path for path in Path(sessions.store_path).iterdir() if path.is_dir()]:
        try:
            expired = _end(folder, sessions.expiry) < now
        except OSError as error:  # it ended meanwhile, or cannot be read: the others go on
            logger.warning("session %s is left for later: %s", folder.name, error)
            continue
        if expired:
            sessions.remove_session(folder.name)
            removed += 1
    return removed


def _end(folder: Path, longest_s: float) -> float:
    """When a session ends, in s since 1970; one whose notes are missing or damaged by the age of its folder."""
    try:
        notes = json.loads((folder / "meta.info").read_text(encoding="utf-8"))
        return float(notes["last_access_ts"]) + float(notes["expiry"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.stat().st_mtime + longest_s
