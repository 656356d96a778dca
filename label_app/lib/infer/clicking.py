"""Correction by clicks, in the contract of deepgrow tasks that OHIF and 3D Slicer share."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from igtv.inference.case_segmenter import CaseProposal
from igtv.interaction.clicks import Click, clicks_from_voxels, voxel_of
from igtv.interaction.end_slices import apply_end_marks
from igtv.interaction.likeness import TissueLikeness
from igtv.interaction.resegmentation import RADIUS_MM, resegment
from monailabel.interfaces.tasks.infer_v2 import InferType

from .answers import Grid, first, on_grid, write_answer
from .inputs import InferCase, requested_case
from .model_task import ModelTask, mask_facts

RADII_MM = (RADIUS_MM, 20.0, 60.0)
# viewers show lists of texts alone as a choice: OHIF sends one back, Slicer looks for it in the list
RADII_OFFERED = [f"{radius:g}" for radius in RADII_MM]
logger = logging.getLogger(__name__)
Correction = Callable[[CaseProposal, TissueLikeness, Sequence[Click], float], tuple[np.ndarray, dict[str, Any]]]


class ClickTask(ModelTask):
    """The automatic mask, corrected so that it obeys `foreground` and `background`.

    Both are lists of voxel indices (i, j, k) of the requested series, CT or PET, in the order of its file; they go
    through patient coordinates. All clicks come with every request; the server keeps none. Nothing farther from every
    click than the option `radius_mm` changes.

    Args:
        app, model, label: see `ModelTask`.
        what: first words of the description.
        correct: what the clicks do.
    """

    def __init__(self, app: Any, model: str, label: str, what: str, correct: Correction):
        self.correct = correct
        super().__init__(app, model, label, InferType.DEEPGROW, what, {"radius_mm": list(RADII_OFFERED)})

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a viewer.

        Returns:
            Path of the corrected mask on the requested series' grid, and parameters.

        Raises:
            PetMissing, NetworkBusy, ValueError: with a text for the viewer.
        """
        start = time.monotonic()
        radius_mm = float(first(request.get("radius_mm") or RADIUS_MM))
        if radius_mm not in RADII_MM:
            raise ValueError(f"radius_mm {radius_mm:g}; there are {', '.join(f'{radius:g}' for radius in RADII_MM)}")
        case = requested_case(request, self.app.datastore())
        grid = Grid.of(case.grid)
        clicks = requested_clicks(request, grid)
        version = self.registry.current()
        proposal = self.app.proposals.get(version, case)
        tissue = TissueLikeness(proposal.ct_hu, proposal.pet_suv, proposal.affine)
        mask, facts = self.correct(proposal, tissue, clicks, radius_mm)
        volume = on_grid(mask, proposal.affine, grid, nearest=True)
        if case.on_pet:
            volume = volume.copy()
            for click in clicks:  # a voxel of the PET holds several of the CT: the one clicked decides
                volume[voxel_of(click, grid.affine, grid.shape)] = click.inside
        voxel_ml = abs(np.linalg.det(proposal.affine[:3, :3])) / 1000
        facts = {
            "clicks": len(clicks),
            "radius_mm": radius_mm,
            "changed_ml": round(float((mask != proposal.mask).sum() * voxel_ml), 3),
            **mask_facts(mask, proposal),
            **facts,
        }
        self._remember_origin(case, version, proposal, grid)
        return self.answer(request, case, version, volume, grid, facts, start)

    def _remember_origin(self, case: InferCase, version: Any, proposal: CaseProposal, grid: Grid) -> None:
        """Keep what the clicks correct, on the answer's grid, for an annotator who never asked for it by itself."""
        if not case.stored or self.is_remembered(case, version):
            return
        try:
            volume = on_grid(proposal.mask, proposal.affine, grid, nearest=True)
            path = write_answer(volume, grid.affine, {}, self.app.folders.temporary)
        except OSError as error:  # a full disk is said of the answer, if that does not fit either
            logger.warning("the proposal for %s could not be kept: %s", case.name, error)
            return
        self.remember(case, version, str(path))
        path.unlink(missing_ok=True)


def requested_clicks(request: dict[str, Any], grid: Grid) -> list[Click]:
    """Clicks of a request, in patient coordinates.

    Args:
        request: `foreground` and `background`, lists of voxel indices; a fourth number, which some clients add, is
            left out.
        grid: the series they were set on.

    Raises:
        ValueError: what is no list of three numbers, or lies outside the series.
    """
    clicks = []
    for key, inside in (("foreground", True), ("background", False)):
        points = request.get(key) or []
        if not isinstance(points, list) or not all(isinstance(point, list | tuple) for point in points):
            raise ValueError(f"'{key}' must be a list of points such as [[10, 20, 30]]")
        found = clicks_from_voxels([point[:3] for point in points], grid.affine, inside)
        for click in found:
            voxel_of(click, grid.affine, grid.shape)
        clicks += found
    return clicks


def by_clicks(
    proposal: CaseProposal, tissue: TissueLikeness, clicks: Sequence[Click], radius_mm: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Clicks inside and outside the tumour."""
    return resegment(proposal.probability, proposal.mask, tissue, proposal.affine, clicks, radius_mm), {}


def by_end_marks(
    proposal: CaseProposal, tissue: TissueLikeness, clicks: Sequence[Click], radius_mm: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Clicks on the last slices that hold tumour, or on the first ones that do not."""
    ended = apply_end_marks(proposal.probability, proposal.mask, tissue, proposal.affine, clicks, radius_mm)
    facts: dict[str, Any] = {"beyond_ml": round(ended.beyond_ml, 3)}
    if ended.beyond_ml:
        facts["message"] = (
            f"{ended.beyond_ml:.1f} ml of tumour beyond the marks lie farther from them than {radius_mm:g} mm and stay"
        )
    return ended.mask, facts
