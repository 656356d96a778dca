"""A series by the user's words, also where a command line took them for a list or a number."""

import pytest
from igtv.dicom.errors import DicomError
from igtv.dicom.series import Series
from igtv.dicom.series_choice import choose_series


def series(description, uid="1.2.3", part=""):
    return Series("P1", "1.2", uid, "CT", "1.9", description, (), (), part)


CANDIDATES = [series("Thorax CT,5.0,B30f", "1.2.1"), series("Thorax CT, 1.5, B70f", "1.2.2"), series("CT", "1.2.3")]


@pytest.mark.parametrize(
    ("wanted", "uid"),
    [
        (("CT", 5.0, "B30f"), "1.2.1"),
        (["CT", 5.0], "1.2.1"),
        ("ct,5.0,b30f", "1.2.1"),
        (("CT", 1.5), "1.2.2"),
        ("CT, 1.5", "1.2.2"),
        (1.5, "1.2.2"),
        ("ct", "1.2.3"),
        ("1.2.2", "1.2.2"),
    ],
)
def test_commas_and_numbers_are_text(wanted, uid):
    assert [one.series_uid for one in choose_series(CANDIDATES, wanted, "ct_series")] == [uid]


def test_a_description_that_a_command_line_changed_says_how_to_quote_it():
    """5.00 becomes 5.0 before anything here sees it."""
    with pytest.raises(DicomError, match="""--ct_series 'CT,5.0,B' fits none.*--ct_series "'CT,5.0,B'"."""):
        choose_series([series("CT,5.00,B30f")], ("CT", 5.0, "B"), "ct_series")
    with pytest.raises(DicomError, match="fits none of: [^-]*$"):
        choose_series([series("CT,5.00")], "MR", "ct_series")
