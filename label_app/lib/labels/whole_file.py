"""Whether a compressed or raw image file is there to its end; image readers fill what is missing without a word."""

import gzip
import zlib
from pathlib import Path

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 16


def holds_bytes(path: Path, number: int) -> bool:
    """Whether a NIfTI or NRRD file holds at least so many bytes of voxels, and no damaged compression.

    Args:
        path: `.nii`, `.nii.gz`, or `.nrrd` with raw or gzip encoding and its voxels in it.
        number: bytes of all voxels.
    """
    try:
        if path.name.lower().endswith(".nrrd"):
            return _nrrd_bytes(path, number) >= number
        if not path.name.lower().endswith(".gz"):
            return path.stat().st_size >= number
        with gzip.open(path) as file:
            return _length(file, number) >= number
    except (OSError, EOFError, zlib.error, ValueError):
        return False


def _length(file, number: int) -> int:
    """Length of a stream to its end, where its checksum is; counting stops well beyond what is needed."""
    length = 0
    while chunk := file.read(_CHUNK):
        length += len(chunk)
        if length > number + _LONGEST_HEADER + _CHUNK:
            break
    return length


def _nrrd_bytes(path: Path, number: int) -> int:
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        ends = [(start.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n") if mark in start]
        if not ends:
            raise ValueError("no end of the header")
        end, length = min(ends)
        fields = dict(line.split(b":", 1) for line in start[:end].splitlines() if b":" in line and b":=" not in line)
        file.seek(end + length)
        encoding = fields.get(b"encoding", b"").strip().lower()
        if encoding in (b"gzip", b"gz"):
            with gzip.open(file) as voxels:
                return _length(voxels, number)
        if encoding == b"raw":
            return path.stat().st_size - end - length
        raise ValueError(f"encoding {encoding!r}")
