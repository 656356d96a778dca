"""RTSTRUCT and DICOM SEG objects of a patient, and which of them speak of a CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import SimpleITK as sitk
from pydicom.dataset import Dataset

from .errors import DicomError, tag_name
from .own_contours import unapproved_names
from .phases import FourD, PhaseName, phase_in_text
from .references import referenced_series
from .roi_names import is_named
from .rtstruct_reader import list_rois, read_structure_set, structure_masks
from .seg_reader import list_segments, read_segmentation
from .series import Series, group_into_series
from .series_choice import choose_series

MODALITIES = ("RTSTRUCT", "SEG")


@dataclass(frozen=True)
class LabelSource:
    """One object with contours or segments.

    Attributes:
        path: its file.
        series: the series it belongs to.
        series_uids: image series that it says it was drawn on; may be stale.
        sop_instance_uid: its own.
        passed_over: names of ROIs or segments that do not count.
    """

    path: Path
    series: Series
    series_uids: tuple[str, ...]
    sop_instance_uid: str = ""
    passed_over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages: modality and description, never a patient."""
        return f'{self.series.modality} "{self.series.description}" (series {self.series.series_uid})'

    @property
    def header(self) -> Dataset:
        """Its own of the series' headers."""
        return self.series.headers[self.series.files.index(self.path)]

    @cached_property
    def frame_of_reference_uid(self) -> str:
        """Its own, "" without one: objects of one series may differ."""
        ((own,), _) = group_into_series([(self.path, self.header)])
        return own.frame_of_reference_uid

    @cached_property
    def rois(self) -> list[str]:
        """Names of its ROIs or segments that count."""
        names = list_rois(self.path) if self.series.modality == "RTSTRUCT" else list_segments(self.path)
        return [name for name in names if name not in self.passed_over]

    def masks(self, names: Sequence[str], grid: sitk.Image, frame: str) -> tuple[dict[str, sitk.Image], list[str]]:
        """ROIs as uint8 masks on a grid, and the decisions.

        Args:
            names: ROIs wanted.
            grid: image whose grid it is.
            frame: frame of reference UID of `grid`.

        Raises:
            DicomError: one cannot be placed on the grid.
        """
        if self.series.modality == "RTSTRUCT":
            return structure_masks(read_structure_set(self.path), grid, names, frame or None)
        masks = read_segmentation(self.path, grid, frame or None)
        absent = [name for name in names if name not in masks]
        if absent:
            raise DicomError(f"{self.path.name}: segment {absent[0]!r} has no voxel on the CT's grid")
        return {name: masks[name] for name in names}, []


def label_sources(
    series: Sequence[Series], label_series: str | None = None, roi: str | Sequence[str] | None = None
) -> tuple[list[LabelSource], list[str]]:
    """All objects with contours, and what is wrong with those left out.

    What our own network drew and nobody corrected or approved is passed over, unless the user names it: by ROI, or by a
    series where `label_series` leaves nothing else.

    Args:
        series: series of one patient.
        label_series: the user's choice, UID or (part of) the description.
        roi: the user's choice of ROIs.

    Raises:
        DicomError: `label_series` fits none.
    """
    found = [one for one in series if one.modality in MODALITIES]
    decisions = []
    if label_series and found:
        found = choose_series(found, label_series, "label_series")
        decisions.append(f"contours chosen by --label_series {label_series!r}")
    sources = []
    for one in found:
        for header, path in zip(one.headers, one.files, strict=True):
            sources.append(LabelSource(path, one, referenced_series(header), str(header.get("SOPInstanceUID") or "")))
    drawn, words = _without_unapproved(sources, roi)
    if label_series and not drawn:
        return sources, decisions
    return drawn, decisions + words


def _without_unapproved(
    sources: Sequence[LabelSource], roi: str | Sequence[str] | None
) -> tuple[list[LabelSource], list[str]]:
    """Sources without what our own network drew alone, and words on it."""
    kept, decisions = [], []
    for one in sources:
        out = _unapproved(one, roi)
        if not out:
            kept.append(one)
            continue
        decisions.append(
            f"passed over, {', '.join(map(repr, out))} of {one.name}: drawn by this program's network, corrected and "
            "approved by nobody; to take it name the ROI with --roi or the series with --label_series"
        )
        if len(out) < len(one.rois):
            kept.append(replace(one, passed_over=tuple(out)))
    return kept, decisions


def _unapproved(source: LabelSource, roi: str | Sequence[str] | None) -> list[str]:
    names = {name for name in unapproved_names(source.header) if not is_named(name, roi)}
    try:
        return [name for name in source.rois if name in names] if names else []
    except DicomError:  # damaged: it must not pass for one without target, whoever wrote it
        return []


def in_frame(sources: Sequence[LabelSource], frame: str, known: Sequence[Series]) -> list[LabelSource]:
    """Sources of a frame of reference.

    A source without one lies where a series that it refers to lies; with none of these at hand, in the only frame that
    the CTs have.

    Args:
        sources: objects with contours.
        frame: frame of reference UID of the CT or the PET; "" where it has none.
        known: all series of the patient.

    Raises:
        DicomError: a source that may lie in one frame or another.
    """
    return [one for one in sources if _lies_in(one, frame, known)]


def unplaced(source: LabelSource) -> DicomError:
    """The error for a source without frame of reference that cannot be placed."""
    rtstruct = source.series.modality == "RTSTRUCT"
    tag = tag_name("ReferencedFrameOfReferenceUID" if rtstruct else "FrameOfReferenceUID")
    return DicomError(
        f"{source.name} has no {tag} and refers to no series of the CT's frame of reference, so that its place is not "
        "known: export it with its frame of reference, choose other contours with --label_series, or the CT that they "
        "were drawn on with --target_ct"
    )


def drawn_on(sources: Sequence[LabelSource], uids: Sequence[str], known: Sequence[Series]) -> list[LabelSource]:
    """Sources of a CT: those that refer to it; where none does, those that refer to no series we have.

    Args:
        sources: of the CT's frame of reference.
        uids: series UIDs of the CT, or of what it was made of.
        known: all series of the patient; references to anything else are stale.
    """
    images = {one.series_uid for one in known if one.modality not in MODALITIES}
    direct = [one for one in sources if set(uids).intersection(one.series_uids)]
    stale = [one for one in sources if not images.intersection(one.series_uids)]
    return direct or stale or list(sources)


def source_phase(source: LabelSource, four_d: FourD) -> PhaseName | None:
    """The phase of a 4D-CT that a source was drawn on: by the series it refers to, else by its description."""
    referred = {
        name
        for name, one in zip(four_d.names, four_d.series, strict=True)
        if one.series_uid in source.series_uids and _only_once(one.series_uid, four_d)
    }
    if len(referred) == 1:
        return referred.pop()
    if referred:
        return None  # drawn on all of them: an IGTV, or one ROI per phase
    return four_d.own_name(phase_in_text(source.series.description))


def _only_once(uid: str, four_d: FourD) -> bool:
    return sum(one.series_uid == uid for one in four_d.series) == 1


def _lies_in(source: LabelSource, frame: str, known: Sequence[Series]) -> bool:
    if source.frame_of_reference_uid and frame:
        return source.frame_of_reference_uid == frame or _names(source, frame)
    images = [one for one in known if one.modality not in MODALITIES]
    frames = {one.frame_of_reference_uid for one in images if one.series_uid in source.series_uids}
    if not frames:
        frames = {one.frame_of_reference_uid for one in images if one.modality == "CT"}
        if len(frames) > 1:
            raise unplaced(source)
    return frame in frames


def _names(source: LabelSource, frame: str) -> bool:
    """Whether any ROI of a source with several frames of reference lies in this one."""
    return any(
        str(item.get("ReferencedFrameOfReferenceUID") or "") == frame
        for header, path in zip(source.series.headers, source.series.files, strict=True)
        if path == source.path
        for item in header.get("StructureSetROISequence") or ()
    )
