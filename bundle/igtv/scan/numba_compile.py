"""Compilation settings of the kernels, and a disk cache that notices every change of the kernels' sources."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numba

_FOLDER = Path(__file__).parent


def _cache_folder() -> str:
    """Folder named by a digest of all kernel sources.

    Numba compares only the file that holds a function; here a function in one file inlines those of another.
    """
    if numba.config.CACHE_DIR:
        return numba.config.CACHE_DIR
    sources = b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("numba_*.py")))
    name = f"igtv-scan-{hashlib.sha256(sources).hexdigest()[:12]}"
    beside = _FOLDER / "__pycache__"
    if os.access(beside if beside.is_dir() else _FOLDER, os.W_OK):
        return str(beside / name)
    return str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / name)


def kernel(function: Callable) -> Callable:
    """Compile at the first call, without the GIL; keep the machine code on disk where a folder can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _cache_folder()
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder: compile anew in every process
        return numba.njit(**options)(function)
    finally:
        numba.config.CACHE_DIR = before
