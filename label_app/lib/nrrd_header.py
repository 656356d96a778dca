"""Where a NRRD file says its voxels are: a detached header could name any file of the server."""

import re
from pathlib import Path

LONGEST_HEADER = 2**20
_ELSEWHERE = re.compile(rb"^data ?file\s*:", re.IGNORECASE | re.MULTILINE)


def voxels_elsewhere(path: Path) -> bool:
    """Whether a file is a NRRD, whatever its name is, that does not hold its voxels itself, after its header.

    A header without end within what is looked at counts as one that hides it; a shorter file is only cut off.
    """
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    if not start.startswith(b"NRRD"):
        return False
    header, end, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    hidden = not end and len(start) == LONGEST_HEADER
    return hidden or _ELSEWHERE.search(header.replace(b"\r", b"\n")) is not None
