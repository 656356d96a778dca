"""Dates as people write them: the months' names, and which of some days a text spells."""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date

# English and German, January first
_MONTHS = (
    "jan(?:uary|uar)?", "feb(?:ruary|ruar)?", "mar(?:ch)?|märz?|maerz|mrz", "apr(?:il)?", "may|mai", "june?|juni",
    "july?|juli", "aug(?:ust)?", "sept?(?:ember)?", "o[ck]t(?:ober)?", "nov(?:ember)?", "de[cz](?:ember)?",
)  # fmt: skip
_MONTH = re.compile("|".join(f"({names})" for names in _MONTHS), re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")
_BETWEEN = r"[-./,:_\\\s]{1,3}"
# overlapping ones too, so that a number in front hides no date; not within a longer number such as 5.1.2.20
_THREE_NUMBERS = re.compile(rf"(?<!\d)(?<!\d\.)(?=(\d{{1,4}}){_BETWEEN}(\d{{1,2}}){_BETWEEN}(\d{{1,4}})(?!\d)(?!\.\d))")
_EIGHT_DIGITS = re.compile(r"(?<!\d)(\d{8})(?:\d{4}|\d{6})?(?!\d)")  # a time of day may follow
_SIX_DIGITS = re.compile(r"(?<!\d)\d{6}(?!\d)")


def month_of(word: str) -> int | None:
    """1 for `Jan`, `january` or `Januar`; None for what names no month."""
    found = _MONTH.fullmatch(word)
    return found.lastindex if found else None


def day_spelt(text: str, days: Collection[date], six_digits: bool = True) -> date | None:
    """The first of some days that a text holds.

    Known are `YYYYMMDD` and its like, `DDMMYY` and its like, three numbers in any order with one or two signs or blanks
    between them, years of two or four digits, and months by name (English, German).

    Args:
        text: as written by a person.
        days: looked for.
        six_digits: whether six digits without signs count; numbers of codes look just so.
    """
    text = _LETTERS.sub(lambda word: f" {month_of(word[0]) or word[0]} ", text)
    found = [numbers.groups() for numbers in _THREE_NUMBERS.finditer(text)]
    for digits in _EIGHT_DIGITS.findall(text):
        found += [(digits[:4], digits[4:6], digits[6:]), (digits[:2], digits[2:4], digits[4:])]
    if six_digits:
        found += [(digits[:2], digits[2:4], digits[4:]) for digits in _SIX_DIGITS.findall(text)]
    readings = [reading for three in found for reading in _readings(*three)]
    return next((day for day in days if any(_means(day, *reading) for reading in readings)), None)


def _readings(first: str, second: str, third: str) -> Iterator[tuple[str, str, str]]:
    """Year, month and day of three numbers: the year comes first or last, the month before or after the day."""
    yield first, second, third
    yield first, third, second
    yield third, second, first
    yield third, first, second


def _means(day: date, year: str, month: str, of_month: str) -> bool:
    years = {2: day.year % 100, 4: day.year}  # by digits
    return years.get(len(year)) == int(year) and (day.month, day.day) == (int(month), int(of_month))


def days_in(values: Iterable[str]) -> Iterator[date]:
    """Days of DICOM dates (DA) and dates with times (DT); what cannot be read is passed over."""
    for value in values:
        digits = value.strip(" \0").replace(".", "", 2)[:8] if value[4:5] == "." else value.strip(" \0")[:8]
        try:
            yield date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
        except ValueError:
            continue
