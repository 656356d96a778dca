"""An option of one text, whatever a command line made of it."""

import fire
import pytest
from igtv.configuration.one_text import one_text, without_comma_blanks


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("CT,5.0,B30f", "CT,5.0,B30f"),
        ("CT, 5", "CT,5"),
        ("'CT, 5'", "CT, 5"),
        ("5", "5"),
        ("40%", "40%"),
        ("Planning CT", "Planning CT"),
        ("1.2.840.10008", "1.2.840.10008"),
    ],
)
def test_the_text_is_what_was_typed(typed, text):
    """Through the command line's own parser."""
    assert one_text(fire.Fire(lambda value: [value], command=["--value", typed])[0]) == text


def test_blanks_after_commas_make_no_difference():
    assert without_comma_blanks("CT, 5 ,B30f  soft") == "CT,5,B30f  soft"
