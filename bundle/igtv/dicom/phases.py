"""Breathing phases of a 4D-CT among the series of a patient: found, sorted, checked."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .errors import DicomError
from .series import Series

# Fewer phases than this show the extremes at best, not the cycle.
FEW_PHASES = 6
# A single "50%" may be a breath-hold or a gated scan; two make a cycle.
FEWEST_PHASES = 2
# Where only percentages tell, which may be anything: most phases of an evenly divided cycle, and never two alone.
FEWEST_PERCENTAGES = 3

# "40.0%", "40 %", "T40%", "40.0%B", "50% Ex", "100%In"
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%\s*(in|ex)?", re.IGNORECASE)
# "phase 40", "Ph_40", "T40", "resp 40", "CT_40", "4DCT-40"; "50Ex", "0 In"
_WORD = re.compile(r"(?:phase|ph|resp|gated|4d-?ct|ct|t)[ _=:-]{0,2}(\d{1,3})(?![\d.]|\s*(?:mm|s\b))", re.IGNORECASE)
_BREATH = re.compile(r"(?<![\d.])(\d{1,3}) ?(in|ex)(?![a-z])", re.IGNORECASE)
# at the end of a ROI's name: "GTV_c40", "GTV T40", "GTV_ph_40"
_MARKED = re.compile(r"(?:^|[_ \-.])(?:c|t|ph|phase)[_ \-.]?(100|\d{1,2})$", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]")
_WORDS_OF_4D = re.compile(r"4 ?d|gated|resp|phase", re.IGNORECASE)
# A percentage beside these is the strength of a reconstruction, the share of a contrast agent or a threshold in PET.
_SETTINGS = (
    r"(?<![a-z])(?:asir(?:[ _-]?v)?|idose|imr|admire|safire|mbir|aidr|clearview|contrast|iodine|km|"
    r"suv[a-z]*|pet|isodose|max|threshold)(?![a-z])"
)
_ONE_PERCENT = r"(?<![\d.])\d{1,3}(?:\.\d+)? ?%"
# the first goes first: in "50% ASIR 30%" the 50 is the phase
_SETTING_PERCENTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (_SETTINGS + r"[ _=:(-]{0,3}" + _ONE_PERCENT, _ONE_PERCENT + r"[ _-]{0,2}" + _SETTINGS)
)
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

    @property
    def moment(self) -> tuple[float, str]:
        """Alike for names of one moment: 100 % of the cycle's time is the 0 % of the next; depth does not turn over."""
        return (self.percent if self.breath else self.percent % 100, self.breath)


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

    def own_name(self, name: PhaseName | None) -> PhaseName | None:
        """What a phase is called here, 100 % for 0 % or the other way round; None where there is no such phase."""
        if name is None or name in self.names:
            return name
        return next((one for one in self.names if one.moment == name.moment), None)


@dataclass(frozen=True)
class UnsoundFourD:
    """Phases of a 4D-CT that cannot be used.

    Attributes:
        series: one or several per phase.
        reason: what is wrong and what to do.
    """

    series: tuple[Series, ...]
    reason: str


def phase_in_text(text: str) -> PhaseName | None:
    """The phase that a description names.

    Args:
        text: such as "P4^P113, Gated, 40.0%B", "T=50%", "4DCT phase 30", "75% Ex".

    Returns:
        The phase; None where the text names none, or several. Percentages of a reconstruction ("ASIR 30%"), a contrast
        agent or a threshold are none.
    """
    text, _ = _split_settings(text)
    found = [(value, breath) for value, breath in _PERCENT.findall(text)] or _BREATH.findall(text)
    if not found and _WORDS_OF_4D.search(text):
        found = [(value, "") for value in _WORD.findall(text)]
    names = {PhaseName(float(value), breath.lower()) for value, breath in found if float(value) <= 100}
    return names.pop() if len(names) == 1 else None


def phase_in_roi_name(name: str) -> PhaseName | None:
    """The phase that a ROI's name says: Tumor_c40, GTV 40%; None where it says none."""
    found = _MARKED.search(name)
    return phase_in_text(name) or (PhaseName(float(found[1])) if found else None)


def phase_of(series: Series) -> PhaseName | None:
    """The phase of a CT series by its tags, else by its description or comment; None for an ordinary CT.

    A percentage that stands beside other words ("CT 30%") is no phase, unless one of them speaks of a 4D-CT.
    """
    name, certain = _possible_phase(series)
    return name if certain else None


def _possible_phase(series: Series) -> tuple[PhaseName | None, bool]:
    """The phase of a series, and whether its words can mean nothing else."""
    header = series.headers[0]
    for keyword in _PHASE_TAGS:
        value = header.get(keyword)
        if value not in (None, ""):
            return PhaseName(float(value)), True
    texts = (series.description, str(header.get("ImageComments") or ""), series.part)
    for text in texts:
        name = phase_in_text(text)
        if name is not None:
            said = bool(name.breath or _WORDS_OF_4D.search(" ".join(texts)))
            return name, said or len(_LETTERS.findall(_PERCENT.sub("", text))) <= 1  # "40.0%B", "T=50%"
    return None, False


def _split_settings(text: str) -> tuple[str, str]:
    """A text without the percentages of settings, and these."""
    settings = []
    for pattern in _SETTING_PERCENTS:
        settings += pattern.findall(text)
        text = pattern.sub(" ", text)
    return text, " ".join(settings)


def find_four_d(series: Sequence[Series], allow_missing_phases: bool = False) -> list[FourD]:
    """4D-CTs among the series of one patient.

    Phases belong together that share study, frame of reference and the description apart from the phase. Where neither
    a tag nor a word such as 4D, gated or phase speaks of breathing, it takes most phases of an evenly divided cycle.

    Args:
        series: any series; all but CT are passed over.
        allow_missing_phases: take a 4D-CT of which phases are missing, with a word in its decisions.

    Returns:
        The 4D-CTs; a single CT that names a phase is none.

    Raises:
        DicomError: a phase occurs twice, or phases are missing.
    """
    sound, unsound = sort_four_d(series, allow_missing_phases)
    if unsound:
        raise DicomError(unsound[0].reason)
    return sound


def sort_four_d(series: Sequence[Series], allow_missing_phases: bool = False) -> tuple[list[FourD], list[UnsoundFourD]]:
    """As `find_four_d`, with those that cannot be used beside those that can."""
    families = defaultdict(list)
    certain = set()
    for one in series:
        name, is_certain = _possible_phase(one) if one.modality == "CT" else (None, False)
        if name is not None:
            key = (one.study_uid, one.frame_of_reference_uid, _without_phase(one.description), bool(name.breath))
            families[key].append((name, one))
            certain |= {key} if is_certain else set()
    sound, unsound = [], []
    for key, members in families.items():
        if not _is_cycle(members, key in certain):
            continue
        try:
            sound.append(_four_d(members, allow_missing_phases))
        except DicomError as error:
            unsound.append(UnsoundFourD(tuple(one for _, one in members), str(error)))
    return sound, unsound


def _without_phase(description: str) -> str:
    """What the descriptions of all phases of one scan share."""
    text, settings = _split_settings(description)
    without = _BREATH.sub("", _PERCENT.sub("", text))
    if _WORDS_OF_4D.search(without):
        without = re.sub(r"\d+", "", without)
    return " ".join(f"{without} {settings}".lower().split())


def _is_cycle(members: Sequence[tuple[PhaseName, Series]], certain: bool) -> bool:
    names = {name for name, _ in members}
    moments = len({name.moment for name in names})
    if certain:
        return moments >= FEWEST_PHASES
    return moments >= FEWEST_PERCENTAGES and 2 * len(missing_phases(names)) < moments


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
    if len({name.moment for name in names}) < len(names):
        decisions.append("0 % and 100 % are both there: where phases divide the time, one moment counts twice")
    if len(names) < FEW_PHASES:
        decisions.append(f"only {len(names)} phases: what happens between them is not seen")
    return FourD(names, tuple(one for _, one in members), tuple(decisions))


def missing_phases(names: Collection[PhaseName]) -> list[float]:
    """Phases that an evenly divided cycle has and the 4D-CT lacks, in percent.

    The step is the smallest distance between two phases, rounded to a whole part of the cycle; a cycle starts at 0 % or
    half a step later, and 100 % is the 0 % of the next one. Phases named by depth of breath are not checked, as
    scanners divide them unevenly.
    """
    values = sorted({name.moment[0] for name in names})
    if any(name.breath for name in names) or len(values) < FEWEST_PHASES:
        return []
    number = round(100 / min(second - first for first, second in zip(values, values[1:], strict=False)))
    step = 100 / number
    start = step / 2 if step / 4 < values[0] % step < 3 * step / 4 else 0
    expected = [start + step * index for index in range(number)]
    return [round(value, 1) for value in expected if all(_apart(value, one) > step / 4 for one in values)]


def _apart(one: float, other: float) -> float:
    """Distance of two phases in percent, round the cycle."""
    distance = abs(one - other)
    return min(distance, 100 - distance)
