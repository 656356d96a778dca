"""What models proposed for the cases: the newest for each grid that viewers work on, and where it comes from."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from igtv.learning.durable import durable_file

from lib.labels.label_store import SUFFIX
from lib.labels.mask_file import write_mask

from .image_id import PET_SUFFIX
from .info_file import InfoFile

GRIDS = ("ct", "pet")
Proposal = tuple[Path, dict[str, Any]]


class ProposalStore:
    """Masks on the CT's grid, by case and by the grid on which the viewer was given them, "ct" or "pet".

    Args:
        folder: of the masks; made where missing.
        infos: has what is noted of each.
    """

    def __init__(self, folder: Path, infos: InfoFile):
        self.folder, self._infos = folder, infos
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, case: str, grid: str = "ct") -> Path:
        """Where the mask lies, if there is one."""
        return self.folder / f"{_name(case, grid)}{SUFFIX}"

    def find(self, case: str, grid: str = "ct") -> Proposal | None:
        """The newest proposal for a case and what is noted of it."""
        path = self.path(case, grid)
        return (path, self.note(case, grid)) if path.is_file() else None

    def of_case(self, case: str) -> list[Proposal]:
        """What viewers were given on the CT's grid, and on the PET's."""
        return [found for grid in GRIDS if (found := self.find(case, grid)) is not None]

    def note(self, case: str, grid: str = "ct") -> dict[str, Any]:
        """What is noted of a proposal: `model`, `version`, `ts`, and who sent it."""
        return self._infos.entry("proposals", _name(case, grid))

    def keep(self, case: str, mask: sitk.Image, note: Mapping[str, str], grid: str = "ct") -> None:
        """Replace the proposal.

        Raises:
            OSError: it could not be stored; the proposal of before is still there.
        """
        with durable_file(self.path(case, grid)) as temporary:
            write_mask(mask, temporary)
        entry = {**note, "ts": int(time.time())}
        self._infos.change(lambda content: content["proposals"].__setitem__(_name(case, grid), entry))

    def add_note(self, case: str, info: Mapping[str, Any]) -> None:
        """Note more of the proposal on the CT's grid."""
        self._infos.change(lambda content: content["proposals"].setdefault(case, {}).update(info))

    def remove(self, case: str) -> None:
        """Delete the proposals of a case, of both grids."""
        for grid in GRIDS:
            self.path(case, grid).unlink(missing_ok=True)
        names = [_name(case, grid) for grid in GRIDS]
        self._infos.change(lambda content: [content["proposals"].pop(name, None) for name in names])


def _name(case: str, grid: str) -> str:
    return f"{case}{PET_SUFFIX}" if grid == "pet" else case
