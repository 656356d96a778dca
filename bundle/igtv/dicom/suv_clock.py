"""DICOM dates and times as Python ones; what cannot be read is None, never a guess."""

import re
from datetime import date, datetime, timedelta, timezone

from pydicom.dataset import Dataset

_TIME = re.compile(r"^(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?$")
_DATE = re.compile(r"^(\d{4})[.-]?(\d{2})[.-]?(\d{2})$")
_DATETIME = re.compile(r"^(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)([+-]\d{4})?$")
DAY = timedelta(days=1)
# The day of times whose date nobody knows.
UNDATED = datetime(2, 1, 1)


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text, "" where absent."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip("\0 ")


def parse_time(value: str) -> timedelta | None:
    """TM, also with colons of old writers -> time since midnight."""
    match = _TIME.match(value.strip("\0 "))
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    fraction = float(f"0.{match.group(4) or 0}")
    return timedelta(hours=hours, minutes=minutes, seconds=seconds + fraction)


def parse_date(value: str) -> date | None:
    """DA -> date."""
    match = _DATE.match(value.strip("\0 "))
    try:
        return date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        return None


def parse_datetime(value: str) -> datetime | None:
    """DT with at least an hour -> datetime, with a zone when the text carries one."""
    match = _DATETIME.match(value.strip("\0 "))
    if not match:
        return None
    day, time = parse_date(match.group(1)), parse_time(match.group(2))
    if day is None or time is None:
        return None
    zone = parse_zone(match.group(3) or "")
    return datetime(day.year, day.month, day.day, tzinfo=zone) + time


def parse_zone(value: str) -> timezone | None:
    """+0100 -> time zone."""
    match = re.match(r"^([+-])(\d{2})(\d{2})$", value.strip("\0 "))
    if not match:
        return None
    offset = timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
    return timezone(-offset if match.group(1) == "-" else offset) if offset < DAY else None


def local(moment: datetime, header: Dataset) -> datetime:
    """Without zone, in the zone of the header's other times (as written, where the header names none)."""
    zone = parse_zone(text(header, "TimezoneOffsetFromUTC"))
    if moment.tzinfo is not None and zone is not None:
        moment = moment.astimezone(zone)
    return moment.replace(tzinfo=None)


def time_of_day(moment: datetime) -> timedelta:
    """Time since midnight."""
    return moment - datetime(moment.year, moment.month, moment.day)


def nearest_day(moment: datetime, to: datetime) -> datetime:
    """The same time of day, on the day that brings it closest to another moment."""
    return to + (time_of_day(moment) - time_of_day(to) + DAY / 2) % DAY - DAY / 2
