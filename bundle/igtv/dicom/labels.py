"""The label of a case: an IGTV as drawn, the union of one GTV per breathing phase, or a GTV; said plainly which."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from .chosen_rois import Chosen, rois_of
from .ct_kind import PHASE
from .errors import DicomError
from .four_d import union
from .label_kind import any_igtv, label_kind
from .label_sources import LabelSource, drawn_on, in_frame, unplaced
from .phase_gtvs import check_all_phases, gtvs_of_phases, unread_numbers
from .phases import FourD, PhaseName
from .registration import move_rigidly
from .roi_names import AmbiguousRoi, read_aliases
from .series import Series
from .target_ct import Alignment, Target


@dataclass(frozen=True)
class LabelPlan:
    """What the label will be made of, decided by names and references before anything is drawn.

    Attributes:
        chosen: the objects and ROIs whose union is the label.
        kind: "igtv" or "gtv".
        per_phase: phase -> its GTV, where the 4D-CT has any; for the union, or for the motion report alone.
        moved: the contours lie in the PET's frame of reference and are moved to the target's.
        decisions: words for the log.
    """

    chosen: tuple[Chosen, ...]
    kind: str
    per_phase: dict[PhaseName, Chosen] = field(default_factory=dict)
    moved: bool = False
    decisions: tuple[str, ...] = ()

    @property
    def only_phase(self) -> PhaseName | None:
        """The phase, where the label is the GTV of one; None for an IGTV that merely has a phase's GTV beside it."""
        if self.kind != "gtv" or len(self.chosen) != 1:
            return None
        return next((phase for phase, gtv in self.per_phase.items() if gtv.is_same_as(self.chosen[0])), None)


def plan_label(
    sources: Sequence[LabelSource], target: Target, pet_frame: str, known: Sequence[Series], options
) -> LabelPlan | None:
    """Decide what the label is.

    An IGTV that was drawn goes first (or what --roi names); then, with one GTV on every phase of the 4D-CT, their
    union; then a GTV.

    Args:
        sources: objects with contours of the patient.
        target: the CT of the case.
        pet_frame: frame of reference of the PET, "" without one.
        known: all series of the patient.
        options: `roi`, `aliases`, `kind`, `nodes`, `allow_missing_phases` are used.

    Returns:
        The plan; None where no object lies in the target's or the PET's frame of reference.

    Raises:
        DicomError: no ROI fits, several do, some phases have a GTV and others none, or an object cannot be placed.
    """
    options = replace(options, aliases=read_aliases(options.aliases))  # the file is read once
    known = [*known, *target.series]  # a folder's series is not among the patient's
    own = in_frame(sources, target.frame_of_reference_uid, known)
    moved = not own and bool(pet_frame)
    if moved:
        own = in_frame(sources, pet_frame, known)
    if not own:
        for one in sources:
            if not one.frame_of_reference_uid:
                raise unplaced(one)
        return None
    decisions = ["contours lie in the PET's frame of reference and are moved to the target CT's"] if moved else []
    four_d = None if moved else target.four_d
    drawn, misses = _drawn_igtv(own, target, known, options)
    per_phase, more = _gtvs_of_phases(own, four_d, options, must=drawn is None)
    decisions += misses + more
    if drawn is None and (len(per_phase) < 2 or options.roi is None):
        drawn, misses = _drawn(own, target, known, per_phase, options)
        decisions += misses
    if drawn is None and len(per_phase) > 1:
        words = check_all_phases(per_phase, four_d, options.allow_missing_phases)
        return LabelPlan(tuple(per_phase.values()), "igtv", per_phase, moved, _once(decisions, words))
    label = drawn or next(iter(per_phase.values()))
    kind, words = label_kind(label.names, options)
    if kind == "igtv":  # drawn on a phase it is still no GTV of it, for the motion report to go by
        per_phase = {phase: gtv for phase, gtv in per_phase.items() if not gtv.is_same_as(label)}
    plan = LabelPlan((label,), kind, per_phase, moved)
    return replace(plan, decisions=_once(decisions, _words(plan, target, four_d), words))


def make_label(
    plan: LabelPlan, image: sitk.Image, target: Target, alignment: Alignment | None, pet_frame: str
) -> tuple[sitk.Image, list[str]]:
    """Draw the label on the target's grid.

    Args:
        plan: from `plan_label`.
        image: the target CT.
        target: what it is.
        alignment: how it lies in the PET's frame, for contours that were drawn there.
        pet_frame: that frame.

    Returns:
        uint8 mask 0/1 on the grid of `image`, and the decisions.

    Raises:
        DicomError: nothing of the ROIs lies on the grid.
    """
    grid, frame = image, target.frame_of_reference_uid
    if plan.moved:
        # the grid is placed in the contours' frame, so that they are drawn once and nothing is interpolated
        grid, frame = move_rigidly(image, alignment.transform.GetInverse()), pet_frame
    masks, decisions = [], []
    for chosen in plan.chosen:
        drawn, words = chosen.source.masks(chosen.names, grid, frame)
        masks += list(drawn.values())
        decisions += words
    label = union(masks)
    if plan.moved:
        label.CopyInformation(image)
    if not np.any(sitk.GetArrayViewFromImage(label)):
        raise DicomError(f"the label ({'; '.join(map(str, plan.chosen))}) marks no voxel of the CT")
    return label, decisions


def phase_masks(plan: LabelPlan, image: sitk.Image, frame: str) -> dict[PhaseName, sitk.Image]:
    """The GTV of each phase on the phases' grid.

    Args:
        plan: with `per_phase`.
        image: any phase, or the average.
        frame: its frame of reference UID.
    """
    return {
        name: union(list(chosen.source.masks(chosen.names, image, frame)[0].values()))
        for name, chosen in plan.per_phase.items()
    }


def _once(*words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for some in words for one in some))


def _words(plan: LabelPlan, target: Target, four_d: FourD | None) -> list[str]:
    """What a label of one object is."""
    (label,) = plan.chosen
    phase = plan.only_phase
    if phase is not None and len(plan.per_phase) == 1:
        words = [
            f"label is {label}: a GTV on phase {phase} only. It is no IGTV, and none is made of it: the other "
            f"{len(four_d.names) - 1} phases have no contour"
        ]
    else:
        words = [f"label is {label}"]
    if plan.kind == "gtv" and target.kind == PHASE:
        words.append("the CT is one phase of breathing: the label is a GTV of that phase, not an IGTV")
    if plan.kind == "gtv" and phase is None and four_d is not None:
        words += unread_numbers(label.names, four_d)
    return words


def _drawn_igtv(own, target: Target, known, options) -> tuple[Chosen | None, list[str]]:
    """An IGTV that was drawn, on whichever phase; and which objects hold none, where one says so by name."""
    named = (
        [one for one in own if any_igtv(one.rois, options)] if options.kind == "igtv" and options.roi is None else []
    )
    if not named:
        return None, []
    chosen, misses = _choose(drawn_on(named, _uids(target), known), options, must=False)
    return (chosen, misses) if chosen is not None and any_igtv(chosen.names, options) else (None, misses)


def _gtvs_of_phases(own, four_d: FourD | None, options, must: bool) -> tuple[dict[PhaseName, Chosen], list[str]]:
    """The phases' GTVs; beside a drawn IGTV they serve the motion report alone, and must not stop it."""
    if four_d is None:
        return {}, []
    try:
        gtvs, misses = gtvs_of_phases(own, four_d, options)
    except DicomError as error:
        if must:
            raise
        return {}, [f"motion is not measured on the phases' GTVs: {error}"]
    return gtvs, misses if must else []


def _drawn(own, target: Target, known, per_phase: dict[PhaseName, Chosen], options) -> tuple[Chosen | None, list[str]]:
    """What was drawn for this very CT, None where only the phases' GTVs are there; and which objects hold no target."""
    phase_sources = {id(chosen.source) for chosen in per_phase.values()}
    others = own if options.roi is not None else [one for one in own if id(one) not in phase_sources]
    if target.phase is not None and target.phase in per_phase and options.kind == "gtv":
        return per_phase[target.phase], []
    candidates = drawn_on(others, _uids(target), known) if others else []
    if per_phase and options.roi is None:
        # beside contours on the phases only what was drawn on this CT itself counts
        candidates = [one for one in candidates if set(_uids(target)).intersection(one.series_uids)]
    return _choose(candidates, options, must=not per_phase)


def _uids(target: Target) -> list[str]:
    return [one.series_uid for one in target.series]


def _choose(candidates: Sequence[LabelSource], options, must: bool) -> tuple[Chosen | None, list[str]]:
    """The one object that has a fitting ROI, and which of the others have none."""
    found, misses = [], []
    for one in candidates:
        names = one.rois  # of a damaged object, which must not pass for one without target
        try:
            found.append(rois_of(one, names, options, options.kind))
        except AmbiguousRoi as error:
            raise AmbiguousRoi(f"{one.name}: {error}") from error
        except DicomError as error:
            misses.append(f"{one.name}: {error}")
    if len(found) > 1:
        listing = "; ".join(map(str, found))
        raise DicomError(f"{len(found)} objects have a fitting ROI: {listing}; choose one with --label_series")
    if not found and must:
        raise DicomError("; ".join(misses) or "no RTSTRUCT or DICOM SEG lies on the target CT")
    return (found[0] if found else None), misses
