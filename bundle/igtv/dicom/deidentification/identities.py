"""Pseudonyms, replaced UIDs and shifted dates: all from one secret, so that they agree over files and runs."""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ...files import write_json

STANDARD_UIDS = "1.2.840.10008."
# days back; at least a month and at most ten years, so that no date lies in the future
SHORTEST_SHIFT, LONGEST_SHIFT = 30, 3650
_WHAT = (
    "Key of a de-identified data set: whoever has it can find the patients. Keep it apart from the data, or destroy it."
)


@dataclass(frozen=True)
class Identity:
    """How the files of one patient are changed."""

    secret: bytes
    pseudonym: str
    shift_days: int

    def uid(self, original: str) -> str:
        """The UID that stands for another one; UIDs of the standard itself (classes, syntaxes) stay."""
        if not original or original.startswith(STANDARD_UIDS):
            return original
        return f"2.25.{uuid.UUID(bytes=_digest(self.secret, 'uid', original)[:16], version=4).int}"

    def date(self, text: str) -> str:
        """A date (DA) or date with time (DT), moved; "" where the day cannot be read."""
        digits = text.strip(" \0").replace(".", "", 2) if text[4:5] == "." else text.strip(" \0")
        try:
            day = datetime.strptime(digits[:8], "%Y%m%d") + timedelta(days=self.shift_days)
        except (ValueError, OverflowError):
            return ""
        return f"{day:%Y%m%d}".zfill(8) + digits[8:]


def _digest(secret: bytes, purpose: str, text: str) -> bytes:
    return hmac.new(secret, f"{purpose}\0{text}".encode(), hashlib.sha256).digest()


def identities(patients: Iterable[str], key_file: str | Path, prefix: str) -> dict[str, Identity]:
    """One identity for each patient; those that the key file knows keep theirs.

    Args:
        patients: the clinic's identifiers.
        key_file: JSON with the secret and the pseudonyms; made where missing, readable by its owner only.
        prefix: of new pseudonyms; a number follows.

    Returns:
        {patient: identity}.

    Raises:
        ValueError: when the key file is none.
    """
    key_file = Path(key_file)
    key = {"what": _WHAT, "secret": secrets.token_hex(32), "patients": {}}
    if key_file.exists():
        try:
            key = json.loads(key_file.read_text(encoding="utf-8"))
            known, secret = dict(key["patients"]), bytes.fromhex(key["secret"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{key_file.name} is no key of a de-identified data set; give another key_file") from error
    else:
        known, secret = {}, bytes.fromhex(key["secret"])
    used = {entry["pseudonym"] for entry in known.values()}
    number = 0
    # in an order that tells nothing about the clinic's own numbers
    for patient in sorted(set(patients) - set(known), key=lambda one: _digest(secret, "order", one)):
        while not number or f"{prefix}{number:04d}" in used:
            number += 1
        used.add(f"{prefix}{number:04d}")
        span = LONGEST_SHIFT - SHORTEST_SHIFT + 1
        shift = SHORTEST_SHIFT + int.from_bytes(_digest(secret, "shift", patient)[:8], "big") % span
        known[patient] = {"pseudonym": f"{prefix}{number:04d}", "shift_days": -shift}
    key["patients"] = known
    write_json(key_file, key, mode=0o600)
    return {
        patient: Identity(secret, known[patient]["pseudonym"], int(known[patient]["shift_days"]))
        for patient in set(patients)
    }
