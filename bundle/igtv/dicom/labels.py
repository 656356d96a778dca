"""The label of a case: an IGTV as drawn, the union of one GTV per breathing phase, or a GTV; said plainly which."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from .ct_kind import PHASE
from .errors import DicomError
from .four_d import union
from .label_sources import LabelSource, drawn_on, in_frame, roi_phase, source_phase, unplaced
from .phases import FourD, PhaseName
from .registration import move_rigidly
from .roi_names import AmbiguousRoi, choose_roi, is_igtv, read_aliases
from .series import Series
from .target_ct import Alignment, Target


@dataclass(frozen=True)
class Chosen:
    """ROIs of one object."""

    source: LabelSource
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(repr, self.names))} of {self.source.name}"

    def is_same_as(self, other: "Chosen") -> bool:
        """By the object itself: comparing sources by value would compare whole headers."""
        return self.source is other.source and self.names == other.names


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
    per_phase, misses = _per_phase(own, four_d, options) if four_d is not None else ({}, [])
    decisions += misses
    if len(per_phase) < 2 or options.roi is None:
        drawn, misses = _drawn(own, target, known, per_phase, options)
        decisions += misses
        if drawn is not None:
            kind = "igtv" if _any_igtv(drawn.names, options) else "gtv"
            words = [f"label is {drawn}"]
            if kind == "gtv" and target.kind == PHASE:
                words.append("the CT is one phase of breathing: the label is a GTV of that phase, not an IGTV")
            return LabelPlan((drawn,), kind, per_phase, moved, _once(decisions, words))
    if len(per_phase) == 1:
        ((name, chosen),) = per_phase.items()
        words = (
            f"label is {chosen}: a GTV on phase {name} only. It is no IGTV, and none is made of it: the other "
            f"{len(four_d.names) - 1} phases have no contour"
        )
        return LabelPlan((chosen,), "gtv", per_phase, moved, _once(decisions, [words]))
    words = _check_all_phases(per_phase, four_d, options)
    return LabelPlan(tuple(per_phase.values()), "igtv", per_phase, moved, _once(decisions, words))


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


def _any_igtv(names: Sequence[str], options) -> bool:
    return any(is_igtv(name, options.aliases) for name in names)


def _drawn(own, target: Target, known, per_phase: dict[PhaseName, Chosen], options) -> tuple[Chosen | None, list[str]]:
    """What was drawn for this very CT, None where only the phases' GTVs are there; and which objects hold no target."""
    misses: list[str] = []
    phase_sources = {id(chosen.source) for chosen in per_phase.values()}
    if options.kind == "igtv" and options.roi is None:
        # an IGTV is an IGTV, on whichever phase it was drawn
        named = [one for one in own if _any_igtv(one.rois, options)]
        explicit, misses = _choose(drawn_on(named, _uids(target), known), options, must=False) if named else (None, [])
        if explicit is not None and _any_igtv(explicit.names, options):
            return explicit, misses
    others = own if options.roi is not None else [one for one in own if id(one) not in phase_sources]
    if target.phase is not None and target.phase in per_phase and options.kind == "gtv":
        return per_phase[target.phase], misses
    candidates = drawn_on(others, _uids(target), known) if others else []
    if per_phase and options.roi is None:
        # beside contours on the phases only what was drawn on this CT itself counts
        candidates = [one for one in candidates if set(_uids(target)).intersection(one.series_uids)]
    drawn, more = _choose(candidates, options, must=not per_phase)
    return drawn, misses + more


def _uids(target: Target) -> list[str]:
    return [one.series_uid for one in target.series]


def _choose(candidates: Sequence[LabelSource], options, must: bool) -> tuple[Chosen | None, list[str]]:
    """The one object that has a fitting ROI, and which of the others have none."""
    found, misses = [], []
    for one in candidates:
        names = one.rois  # of a damaged object, which must not pass for one without target
        try:
            found.append(_rois_of(one, names, options, options.kind))
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


def _rois_of(source: LabelSource, names: Sequence[str], options, kind: str) -> Chosen:
    roi = choose_roi(names, kind=kind, roi=options.roi, aliases=options.aliases, nodes=options.nodes)
    return Chosen(source, (roi,) if isinstance(roi, str) else tuple(roi))


def _per_phase(own: Sequence[LabelSource], four_d: FourD, options) -> tuple[dict[PhaseName, Chosen], list[str]]:
    """Phase -> its GTV, and which objects of a phase have none."""
    found: dict[PhaseName, Chosen] = {}
    misses = []
    for source in own:
        of_source = source_phase(source, four_d)
        groups: dict[PhaseName, list[str]] = {}
        for name in source.rois:
            if options.roi is None and is_igtv(name, options.aliases):
                continue
            of_name = roi_phase(name, four_d)
            if of_source is not None and of_name not in (None, of_source):
                raise DicomError(
                    f"{source.name} was drawn on phase {of_source}, its ROI {name!r} says {of_name}: which is right? "
                    "Choose with --label_series and --roi"
                )
            phase = of_source or of_name
            if phase is not None:
                groups.setdefault(phase, []).append(name)
        for phase, names in groups.items():
            try:
                chosen = _rois_of(source, names, options, "gtv")
            except AmbiguousRoi as error:
                raise AmbiguousRoi(f"phase {phase}, {source.name}: {error}") from error
            except DicomError as error:
                misses.append(f"phase {phase}, {source.name}: {error}")
                continue
            if phase in found:
                raise DicomError(
                    f"phase {phase} has two GTVs: {found[phase]} and {chosen}; choose with --label_series or --roi"
                )
            found[phase] = chosen
    return {name: found[name] for name in four_d.names if name in found}, misses


def _check_all_phases(per_phase: dict[PhaseName, Chosen], four_d: FourD, options) -> list[str]:
    absent = [name for name in four_d.names if name not in per_phase]
    if absent and not options.allow_missing_phases:
        raise DicomError(
            f"{len(per_phase)} of {len(four_d.names)} phases have a GTV, phase {', '.join(map(str, absent))} none: the "
            "union would be too small; contour all phases, choose another ROI with --roi, or accept it with "
            "--allow_missing_phases True"
        )
    words = f"label is the union of the GTVs of {len(per_phase)} phases: " + "; ".join(
        f"{name}: {chosen}" for name, chosen in per_phase.items()
    )
    lacking = [f"phase {', '.join(map(str, absent))} has no GTV (--allow_missing_phases)"] if absent else []
    return [words, *lacking]
