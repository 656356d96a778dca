"""To which moment the activity of each slice belongs, and how long the tracer had decayed by then.

Rules: QIBA pseudo-code for SUV, and the IBSI manual for SUV computation (https://oncoray.github.io/suv_computation,
CC BY 4.0), flow chart of PET images.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset

from .errors import DicomError, missing, tag_name
from .suv_clock import DAY, UNDATED, local, nearest_day, parse_date, parse_datetime, parse_time, text, time_of_day
from .suv_number import number
from .suv_private import GE_SCAN_TIME, SIEMENS_DECAY_TIME, private_datetime

# All slices that are corrected to the start of the scan are corrected to one moment; reconstruction software rounds
# frame times to seconds, clocks of console and scanner differ by a few.
ONE_MOMENT_S = 60.0
# Times that are equal but for rounding.
SAME_TIME_S = 1.0
# Two statements of the injection time that differ by more contradict each other (1 minute of F-18: 0.6 % of SUV).
SAME_INJECTION_S = 60.0
# Nobody scans after so many half-lives: 1.6 % of the dose is left.
MOST_HALF_LIVES = 6.0
# Injection before the scan is not later than this (clocks that differ).
CLOCK_SKEW_S = 60.0
# Above this half-life (IBSI) an uptake that is wrong by a day looks plausible, so the date must be right.
LONG_LIVED_S = 41400.0
_GE = re.compile(r"\bGE\b|^GEMS")
_SIEMENS = re.compile(r"SIEMENS|\bCTI\b")
# Makers that have no use for another's private tags; a name that is none of these was removed or made up.
_KNOWN_MAKER = re.compile(r"\bGE\b|^GEMS|SIEMENS|\bCTI\b|PHILIPS|TOSHIBA|CANON|UNITED IMAGING|\bUIH\b|HITACHI|MEDISO")


def average_time_s(half_life_s: float, duration_s: float) -> float:
    """Time after the start of a frame at which decaying activity equals its mean over the frame (PS3.3, C.8.9.4)."""
    rate = math.log(2) / half_life_s
    return math.log(rate * duration_s / -math.expm1(-rate * duration_s)) / rate


def acquisition_moment(header: Dataset) -> datetime:
    """When the slice's acquisition began; undated times get the series' date, or no meaningful one where there is none.

    Raises:
        DicomError: there is no acquisition time.
    """
    time = parse_time(text(header, "AcquisitionTime"))
    if time is None:
        moment = parse_datetime(text(header, "AcquisitionDateTime"))
        if moment is None:
            raise missing(header, "AcquisitionTime", "the decay of the tracer cannot be computed")
        return local(moment, header)
    day = parse_date(text(header, "AcquisitionDate"))
    if day is not None:
        return datetime(day.year, day.month, day.day) + time
    day, start = parse_date(text(header, "SeriesDate")), parse_time(text(header, "SeriesTime"))
    if day is None:
        return UNDATED + time
    series = datetime(day.year, day.month, day.day) + (start if start is not None else time)
    return nearest_day(UNDATED + time, series)


def begins_series(header: Dataset, acquired: datetime) -> bool:
    """Whether the acquisition began when the series did; by the clock, since dates are often removed."""
    start = parse_time(text(header, "SeriesTime"))
    if start is None:
        return False
    apart = (time_of_day(acquired) - start + DAY / 2) % DAY - DAY / 2
    return abs(apart.total_seconds()) < SAME_TIME_S


def is_dated(header: Dataset) -> bool:
    """Whether the acquisition's date is known."""
    return any(parse_date(text(header, word)) for word in ("AcquisitionDate", "SeriesDate")) or bool(
        not text(header, "AcquisitionTime") and parse_datetime(text(header, "AcquisitionDateTime"))
    )


def reference_moments(headers: Sequence[Dataset], half_life_s: float, decisions: list[str]) -> list[datetime]:
    """To which moment each slice is decay corrected, or, uncorrected, at which it was measured.

    Raises:
        DicomError: a tag that tells is missing, DecayCorrection is unknown, or slices contradict each other.
    """
    kind = text(headers[0], "DecayCorrection").upper()
    if kind == "NONE":
        decisions.append("DecayCorrection NONE: each slice decayed from its own AcquisitionTime and mean frame time")
        return _one_day(
            [
                acquisition_moment(header) + timedelta(seconds=average_time_s(half_life_s, _frame_s(header)))
                for header in headers
            ]
        )
    if kind != "START":
        raise missing(headers[0], "DecayCorrection", "the decay cannot be computed")
    return _scan_start(headers, half_life_s, decisions)


def _scan_start(headers: Sequence[Dataset], half_life_s: float, decisions: list[str]) -> list[datetime]:
    maker = text(headers[0], "Manufacturer").upper()
    for pattern, where, name in (
        (_GE, GE_SCAN_TIME, "GE private scan time (0009,100D)"),
        (_SIEMENS, SIEMENS_DECAY_TIME, "Siemens private decay time (0071,1022)"),
    ):
        if _KNOWN_MAKER.search(maker) and not pattern.search(maker):
            continue
        private = [private_datetime(header, where) for header in headers]
        if all(moment is not None for moment in private):
            moments = [_on_acquisition_day(moment, header) for moment, header in zip(private, headers, strict=True)]
            decisions.append(f"DecayCorrection START: {name}, {_clock(moments[0])}")
            return _one_moment(moments, name)
    formula = 0
    moments = []
    for header in headers:
        acquired = acquisition_moment(header)
        if begins_series(header, acquired):
            moments.append(acquired)
            continue
        if not maker:
            raise missing(header, "Manufacturer", "to what FrameReferenceTime refers depends on it")
        formula += 1
        offset = -number(header, "FrameReferenceTime", "the start of the scan cannot be found", least=0.0) / 1000
        if not _GE.search(maker):
            offset += average_time_s(half_life_s, _frame_s(header))
        moments.append(acquired + timedelta(seconds=offset))
    how = "AcquisitionTime = SeriesTime"
    if formula:
        mean = "" if _GE.search(maker) else " + mean frame time"
        how = f"AcquisitionTime{mean} - FrameReferenceTime in {formula} of {len(headers)} slices"
    decisions.append(f"DecayCorrection START: {how}, {_clock(moments[0])}")
    return _one_moment(moments, how)


def _on_acquisition_day(private: datetime, header: Dataset) -> datetime:
    """The time of day of a private tag on the day of the acquisition: date shifting rarely reaches private dates."""
    moment = local(private, header)
    if not (text(header, "AcquisitionTime") or text(header, "AcquisitionDateTime")):
        return moment
    return nearest_day(moment, acquisition_moment(header))


def _one_day(moments: list[datetime]) -> list[datetime]:
    """Scans across midnight often keep the first date: each moment goes to the day that brings it to the first one."""
    return [nearest_day(moment, moments[0]) for moment in moments]


def _one_moment(moments: list[datetime], how: str) -> list[datetime]:
    moments = _one_day(moments)
    spread = (max(moments) - min(moments)).total_seconds()
    if spread > ONE_MOMENT_S:
        raise DicomError(
            f"DecayCorrection START means one moment for all slices, but {how} gives moments {spread:.0f} s apart; "
            "AcquisitionTime, FrameReferenceTime and SeriesTime of this series contradict each other, SUV is not safe"
        )
    return moments


def _clock(moment: datetime) -> str:
    return f"scan start {moment:%H:%M:%S}"


def _frame_s(header: Dataset) -> float:
    return number(header, "ActualFrameDuration", "the mean time of the frame cannot be found", above=0.0) / 1000


def decay_times(headers: Sequence[Dataset], item: Dataset, half_life_s: float, decisions: list[str]) -> np.ndarray:
    """Seconds from injection to the moment to which each slice's activity belongs.

    Args:
        headers: slices of one series.
        item: its item of the radiopharmaceutical information sequence.

    Raises:
        DicomError: the injection time is missing or contradictory, or no plausible time passed.
    """
    moments = reference_moments(headers, half_life_s, decisions)
    first = min(moments)
    injected = _injection(headers[0], item, first, half_life_s, decisions)
    times = np.array([(moment - injected).total_seconds() for moment in moments])
    limit = MOST_HALF_LIVES * half_life_s
    if times.min() < -CLOCK_SKEW_S or times.max() > limit:
        raise DicomError(
            f"{times.min() / 60:.0f} to {times.max() / 60:.0f} minutes lie between injection ({injected:%H:%M:%S}) and "
            f"the scan ({first:%H:%M:%S}), with a half-life of {half_life_s / 60:.0f} minutes; "
            f"{tag_name('RadiopharmaceuticalStartTime')} or the scan's times are wrong, SUV is not safe"
        )
    decisions.append(
        f"{times.min() / 60:.1f} minutes from injection to {'scan' if np.ptp(times) == 0 else 'first slice'}"
    )
    return times


def _injection(header: Dataset, item: Dataset, scan: datetime, half_life_s: float, decisions: list[str]) -> datetime:
    stated = parse_datetime(text(item, "RadiopharmaceuticalStartDateTime"))
    stated = None if stated is None else local(stated, header)
    time = parse_time(text(item, "RadiopharmaceuticalStartTime"))
    if stated is None and time is None:
        raise missing(item, "RadiopharmaceuticalStartTime", "the decay of the tracer cannot be computed")
    clock = time if stated is None else time_of_day(stated)
    if stated is not None and time is not None:
        differ = abs((clock - time + DAY / 2) % DAY - DAY / 2).total_seconds()
        if differ > SAME_INJECTION_S:
            raise DicomError(
                f"{tag_name('RadiopharmaceuticalStartDateTime')} and {tag_name('RadiopharmaceuticalStartTime')} differ "
                f"by {differ / 60:.0f} minutes; SUV is not safe, correct the wrong one"
            )
    if stated is not None and is_dated(header):
        uptake = (scan - stated).total_seconds()
        if -CLOCK_SKEW_S <= uptake <= MOST_HALF_LIVES * half_life_s:
            decisions.append("injection: RadiopharmaceuticalStartDateTime")
            return stated
    if half_life_s > LONG_LIVED_S:
        if stated is None:
            raise missing(
                item,
                "RadiopharmaceuticalStartDateTime",
                "a nuclide that lives for days needs the date of its injection",
            )
        raise DicomError(
            f"{tag_name('RadiopharmaceuticalStartDateTime')} does not fit the scan's date, and with a half-life of "
            f"{half_life_s / 3600:.0f} hours the day cannot be told; SUV is not safe"
        )
    injected = scan - (time_of_day(scan) - clock) % DAY
    if (scan - injected).total_seconds() > DAY.total_seconds() - CLOCK_SKEW_S:
        injected += DAY
    source = "RadiopharmaceuticalStartTime" if stated is None else "RadiopharmaceuticalStartDateTime"
    date_note = (
        "its date does not fit the scan (shifted dates), taken" if stated is not None and is_dated(header) else ""
    )
    midnight = ", across midnight" if injected.date() != scan.date() else ""
    decisions.append(f"injection: {source}, {date_note or 'taken'} as the last such time before the scan{midnight}")
    return injected
