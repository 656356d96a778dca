"""Which GTV belongs to which phase of a 4D-CT: by what its object was drawn on, else by the ROI's name."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from .chosen_rois import Chosen, rois_of
from .errors import DicomError
from .label_sources import LabelSource, source_phase
from .phases import FourD, PhaseName, phase_in_roi_name
from .roi_names import AmbiguousRoi, is_igtv

# "GTV_40": a phase, a dose in Gy or just a number
_BARE = re.compile(r"(.*)[_ \-.](100|\d{1,2})$")


def gtvs_of_phases(sources: Sequence[LabelSource], four_d: FourD, options) -> tuple[dict[PhaseName, Chosen], list[str]]:
    """The GTV of every phase that has one.

    The phase is that of the images an object was drawn on, else what the ROI's name ends with. A bare number counts
    only where ROIs of one stem carry several phases (GTV_0, GTV_10): alone it may be a dose level.

    Args:
        sources: objects with contours in the 4D-CT's frame of reference.
        four_d: the 4D-CT.
        options: `roi`, `aliases` and `nodes` are used.

    Returns:
        Phase -> its GTV, in the order of breathing, and which phases' ROIs hold none.

    Raises:
        DicomError: a phase has two GTVs, or an object and its GTV's name say different phases.
    """
    found: dict[PhaseName, Chosen] = {}
    misses = []
    bare = _bare_phases((name for source in sources for name in source.rois), four_d)
    for source in sources:
        of_source = source_phase(source, four_d)
        for phase, names in _by_phase(source, of_source, bare, four_d, options).items():
            try:
                chosen = rois_of(source, names, options, "gtv")
            except AmbiguousRoi as error:
                raise AmbiguousRoi(f"phase {phase}, {source.name}: {error}") from error
            except DicomError as error:
                misses.append(f"phase {phase}, {source.name}: {error}")
                continue
            if options.roi is None:  # the user's word settles it
                _check_names(chosen, phase, four_d)
            if phase in found:
                raise DicomError(
                    f"phase {phase} has two GTVs: {found[phase]} and {chosen}; choose with --label_series or --roi"
                )
            found[phase] = chosen
    return {name: found[name] for name in four_d.names if name in found}, misses


def check_all_phases(gtvs: dict[PhaseName, Chosen], four_d: FourD, allow_missing_phases: bool) -> list[str]:
    """Words for the union of the phases' GTVs.

    Raises:
        DicomError: phases have none, and that is not allowed.
    """
    absent = [name for name in four_d.names if name not in gtvs]
    if absent and not allow_missing_phases:
        raise DicomError(
            f"{len(gtvs)} of {len(four_d.names)} phases have a GTV, phase {', '.join(map(str, absent))} none: the "
            "union would be too small; contour all phases, choose another ROI with --roi, or accept it with "
            "--allow_missing_phases True"
        )
    words = f"label is the union of the GTVs of {len(gtvs)} phases: " + "; ".join(
        f"{name}: {chosen}" for name, chosen in gtvs.items()
    )
    lacking = [f"phase {', '.join(map(str, absent))} has no GTV (--allow_missing_phases)"] if absent else []
    return [words, *lacking]


def unread_numbers(names: Iterable[str], four_d: FourD) -> list[str]:
    """Words on bare numbers that could be a phase and are not read as one."""
    return [
        f"ROI {name!r}: its number may be a dose level and is not read as phase {phase}; {stem}_c{phase.percent:g} is"
        for name in names
        for stem, phase in [_bare(name, four_d)]
        if phase is not None
    ]


def _by_phase(source, of_source, bare: dict[str, PhaseName], four_d: FourD, options) -> dict[PhaseName, list[str]]:
    """Phase -> the source's ROIs that come into question as its GTV."""
    groups = defaultdict(list)
    for name in source.rois:
        if options.roi is None and is_igtv(name, options.aliases):
            continue
        phase = of_source or _marked(name, four_d) or bare.get(name)
        if phase is not None:
            groups[phase].append(name)
    return groups


def _check_names(chosen: Chosen, phase: PhaseName, four_d: FourD) -> None:
    for name in chosen.names:
        if _marked(name, four_d) not in (None, phase):
            raise DicomError(
                f"{chosen.source.name} was drawn on phase {phase}, its ROI {name!r} says {_marked(name, four_d)}: "
                f'which is right? --roi "{name}" takes it as phase {phase}; else leave the object out with '
                "--exclude_series"
            )


def _marked(name: str, four_d: FourD) -> PhaseName | None:
    """The phase that a ROI's name says, if the 4D-CT has it: Tumor_c40, GTV 40%."""
    return four_d.own_name(phase_in_roi_name(name))


def _bare(name: str, four_d: FourD) -> tuple[str, PhaseName | None]:
    """Stem and phase of a name that ends with a bare number, if the 4D-CT has such a phase."""
    found = _BARE.match(name)
    if found is None or _marked(name, four_d) is not None:
        return name, None
    return found.group(1), four_d.own_name(PhaseName(float(found.group(2))))


def _bare_phases(names: Iterable[str], four_d: FourD) -> dict[str, PhaseName]:
    """ROI -> phase by its bare number, where ROIs of its stem carry several phases."""
    stems = defaultdict(dict)
    for name in names:
        stem, phase = _bare(name, four_d)
        if phase is not None:
            stems[stem.lower()][name] = phase
    return {
        name: phase for of_stem in stems.values() if len({*of_stem.values()}) > 1 for name, phase in of_stem.items()
    }
