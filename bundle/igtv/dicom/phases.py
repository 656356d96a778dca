"""Breathing phases of a 4D-CT among the series of a patient: found, sorted, checked."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import DicomError
from .series import Series

# Fewer phases than this show the extremes at best, not the cycle.
FEW_PHASES = 6
# A single "50%" may be a breath-hold or a gated scan; two make a cycle.
FEWEST_PHASES = 2

# "40.0%", "40 %", "T40%", "40.0%B", "50% Ex", "100%In"
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%\s*(in|ex)?", re.IGNORECASE)
# "phase 40", "Ph_40", "T40", "resp 40", "CT_40", "4DCT-40"; "50Ex", "0 In"
_WORD = re.compile(r"(?:phase|ph|resp|gated|4d-?ct|ct|t)[ _=:-]{0,2}(\d{1,3})(?![\d.]|\s*(?:mm|s\b))", re.IGNORECASE)
_BREATH = re.compile(r"(?<![\d.])(\d{1,3}) ?(in|ex)(?![a-z])", re.IGNORECASE)
_WORDS_OF_4D = re.compile(r"4 ?d|gated|resp|phase", re.IGNORECASE)
_PHASE_TAGS = ("NominalPercentageOfRespiratoryPhase", "NominalPercentageOfCardiacPhase")


@dataclass(frozen=True)
class PhaseName:
    """Place in the breathing cycle.

    Attributes:
        percent: as the scanner names it: time in the cycle, or depth of breath where `breath` is set.
        breath: "in" or "ex" for phases named by depth (100 % In, 50 % Ex), else "".
    """

    percent: float
    breath: str = ""

    def __str__(self) -> str:
        return f"{self.percent:g} %" + (f" {self.breath}" if self.breath else "")

    @property
    def order(self) -> tuple[int, float]:
        """By time from the start; phases named by depth from the end of inhalation: out, then in."""
        if not self.breath:
            return (0, self.percent)
        return (1, -self.percent) if self.breath == "ex" or self.percent == 100 else (2, self.percent)


@dataclass(frozen=True)
class FourD:
    """A 4D-CT: at least two phases, sorted along the breathing cycle.

    Attributes:
        names: one name per phase, none twice.
        series: aligned with `names`.
        decisions: what was found, in words.
    """

    names: tuple[PhaseName, ...]
    series: tuple[Series, ...]
    decisions: tuple[str, ...]

    @property
    def frame_of_reference_uid(self) -> str:
        return self.series[0].frame_of_reference_uid


def phase_in_text(text: str) -> PhaseName | None:
    """The phase that a description names.

    Args:
        text: such as "P4^P113, Gated, 40.0%B", "T=50%", "4DCT phase 30", "75% Ex".

    Returns:
        The phase; None where the text names none, or several.
    """
    found = [(value, breath) for value, breath in _PERCENT.findall(text)] or _BREATH.findall(text)
    if not found and _WORDS_OF_4D.search(text):
        found = [(value, "") for value in _WORD.findall(text)]
    names = {PhaseName(float(value), breath.lower()) for value, breath in found if float(value) <= 100}
    return names.pop() if len(names) == 1 else None


def phase_of(series: Series) -> PhaseName | None:
    """The phase of a CT series by its tags, else by its description or comment; None for an ordinary CT."""
    header = series.headers[0]
    for keyword in _PHASE_TAGS:
        value = header.get(keyword)
        if value not in (None, ""):
            return PhaseName(float(value))
    for text in (series.description, str(header.get("ImageComments") or ""), series.part):
        name = phase_in_text(text)
        if name is not None:
            return name
    return None


def find_four_d(series: Sequence[Series], allow_missing_phases: bool = False) -> list[FourD]:
    """4D-CTs among the series of one patient.

    Phases belong together that share study, frame of reference and the description apart from the phase.

    Args:
        series: any series; all but CT are passed over.
        allow_missing_phases: take a 4D-CT of which phases are missing, with a word in its decisions.

    Returns:
        The 4D-CTs; a single CT that names a phase is none.

    Raises:
        DicomError: a phase occurs twice, or phases are missing.
    """
    families = defaultdict(list)
    for one in series:
        name = phase_of(one) if one.modality == "CT" else None
        if name is not None:
            key = (one.study_uid, one.frame_of_reference_uid, _without_phase(one.description), bool(name.breath))
            families[key].append((name, one))
    return [_four_d(members, allow_missing_phases) for members in families.values() if _is_cycle(members)]


def _without_phase(description: str) -> str:
    """What the descriptions of all phases of one scan share."""
    without = _BREATH.sub("", _PERCENT.sub("", description))
    if _WORDS_OF_4D.search(without):
        without = re.sub(r"\d+", "", without)
    return " ".join(without.lower().split())


def _is_cycle(members: Sequence[tuple[PhaseName, Series]]) -> bool:
    return len({name for name, _ in members}) >= FEWEST_PHASES


def _four_d(members: list[tuple[PhaseName, Series]], allow_missing_phases: bool) -> FourD:
    members = sorted(members, key=lambda member: member[0].order)
    names = tuple(name for name, _ in members)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        labels = "; ".join(one.label for name, one in members if name == twice[0])
        raise DicomError(
            f"phase {twice[0]} of the 4D-CT occurs {names.count(twice[0])} times ({labels}): "
            "leave one of them out of the export, or name the series to be left out with --exclude_series"
        )
    decisions = [f"4D-CT with {len(names)} phases, sorted: {', '.join(map(str, names))}"]
    missing = missing_phases(names)
    if missing:
        text = f"phase {', '.join(f'{value:g} %' for value in missing)} of the 4D-CT is missing"
        if not allow_missing_phases:
            raise DicomError(
                f"{text}; found are {', '.join(map(str, names))}: export all phases, or accept an incomplete cycle "
                "with --allow_missing_phases True"
            )
        decisions.append(f"{text}: average, MIP and motion lack it (--allow_missing_phases)")
    if len(names) < FEW_PHASES:
        decisions.append(f"only {len(names)} phases: what happens between them is not seen")
    return FourD(names, tuple(one for _, one in members), tuple(decisions))


def missing_phases(names: Sequence[PhaseName]) -> list[float]:
    """Phases that an evenly divided cycle has and the 4D-CT lacks, in percent.

    The step is the smallest distance between two phases; a cycle starts at 0 % or half a step later, and 100 % is
    the 0 % of the next one. Phases named by depth of breath are not checked, as scanners divide them unevenly.
    """
    if any(name.breath for name in names):
        return []
    values = sorted(name.percent for name in names)
    step = min(second - first for first, second in zip(values, values[1:], strict=False))
    start = values[0] % step
    expected = [start + step * index for index in range(round(100 / step))]
    return [value for value in expected if value < 100 and all(abs(value - one) > step / 4 for one in values)]
