"""The folder of a case: put in place whole, with what people had put into the one that it replaces."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

from ..files import TEMPORARY_PREFIX
from .import_case import LABEL_FILE, WRITTEN_FILES
from .import_record import CASE_FILE, read_facts

logger = logging.getLogger(__name__)

UNFINISHED = ".importing-"
REPLACED = ".replaced-"
EARLIER = "earlier_"  # begins the name of a file of somebody's whose name the import needs
SAME_WRITE_S = 2.0  # the record is written last: a file that is younger by more than this was changed by somebody


def replace_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in its place; files that no import wrote are copied from an earlier one first.

    The earlier folder is moved aside and then removed: whenever the process is killed, `clear_leftovers` finds one of
    the two whole.
    """
    if not final.exists():
        os.replace(temporary, final)
        return
    _copy_own_files(final, temporary)
    aside = Path(tempfile.mkdtemp(prefix=REPLACED, dir=final.parent))
    os.replace(final, aside / final.name)
    os.replace(temporary, final)
    shutil.rmtree(aside, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left half done, and put back what they took aside; none may be at work."""
    for aside in folder.glob(f"{REPLACED}*"):
        for earlier in aside.iterdir():
            if not (folder / earlier.name).exists():
                os.replace(earlier, folder / earlier.name)
    for leftover in (*folder.glob(f"{UNFINISHED}*"), *folder.glob(f"{REPLACED}*")):
        shutil.rmtree(leftover, ignore_errors=True)


def _copy_own_files(earlier: Path, new: Path) -> None:
    written = {*WRITTEN_FILES, CASE_FILE}
    if "label" not in (read_facts(earlier) or {"source": ["label"]}).get("source", ()):
        written.discard(LABEL_FILE)  # the case had none then: somebody drew it
    for path in sorted(earlier.iterdir()):
        if path.name.startswith(TEMPORARY_PREFIX) or (path.name in written and not _was_changed(path)):
            continue
        target = new / path.name
        while target.exists():
            target = target.with_name(f"{EARLIER}{target.name}")
        if target.name != path.name:
            logger.warning("case %s: your %s is called %s now", earlier.name, path.name, target.name)
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy2(path, target, follow_symlinks=False)


def _was_changed(path: Path) -> bool:
    """Whether a file that an import wrote was changed in place, as a label is by whoever corrects it."""
    record = path.with_name(CASE_FILE)
    return record.is_file() and path.stat().st_mtime > record.stat().st_mtime + SAME_WRITE_S
