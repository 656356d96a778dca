"""Dates in texts: every usual spelling of 5 March 2023 is found, nothing else is."""

from datetime import date

import pytest
from igtv.dicom.deidentification.dates import day_spelt, days_in, month_of

DAY = date(2023, 3, 5)


@pytest.mark.parametrize(
    "text",
    ["20230305", "2023-03-05", "2023.03.05", "2023/3/5", "05.03.2023", "5.3.2023", "05.03.23", "5.3.23", "03/05/2023",
     "3/5/23", "03-05-23", "23-03-05", "05032023", "03052023", "050323", "030523", "230305", "5. 3. 2023", "5 3 23",
     "05_03_23", "20230305123456", "202303051234", "5 March 2023", "5. März 23", "05-MAR-2023", "05Mar2023",
     "Mar 5, 2023", "B30f of 5.3.23, again", "FDG_20230305_2", "1 5.3.23"],
)  # fmt: skip
def test_usual_spellings_are_found(text):
    assert day_spelt(text, [date(2023, 3, 6), DAY]) == DAY


@pytest.mark.parametrize(
    "text",
    ["", "20230306", "6.3.23", "5.3.22", "120230305", "202303051", "5.3.231", "1.5.3.23", "5.3.23.1", "5.3", "5.3.3",
     "3 March 5", "B30f", "syngo CT 2023"],
)  # fmt: skip
def test_other_days_and_longer_numbers_are_not(text):
    assert day_spelt(text, [DAY]) is None


def test_six_digits_count_only_where_asked_for():
    assert day_spelt("050323", [DAY], six_digits=False) is None and day_spelt("05.03.23", [DAY], six_digits=False)


@pytest.mark.parametrize(
    ("word", "month"),
    [("Jan", 1), ("Februar", 2), ("MÄRZ", 3), ("mrz", 3), ("apr", 4), ("Mai", 5), ("june", 6), ("Juli", 7), ("aug", 8),
     ("Sept", 9), ("Okt", 10), ("october", 10), ("November", 11), ("Dez", 12), ("decay", None), ("Marker", None)],
)  # fmt: skip
def test_months_by_name(word, month):
    assert month_of(word) == month


def test_days_of_dicom_dates():
    values = ["20230305", "2023.03.05", "20230305120000.50+0100", " 20230305", "", "0000", "20230230", "Miller"]
    assert list(days_in(values)) == [DAY] * 4
