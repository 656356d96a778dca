"""Numbers in cleaned texts: what measures something stays, what may be a date or an identifier goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from igtv.dicom.deidentification.descriptions import clean_text


@pytest.mark.parametrize(
    ("original", "cleaned"),
    [
        ("PET/CT 1/1/20 geb. 12.03.65", "PET/CT"),
        ("CT Thorax 15.03.23", "CT Thorax"),
        ("CT (12.03.65)", "CT"),
        ("12_03_65 CT", "CT"),
        ("CT 12:03", "CT"),
        ("CT 15 03 23", "CT"),
        ("CT 15.03.", "CT"),
        ("CT 15. März 23", "CT"),
        ("CT 15 March", "CT"),
        ("CT 15 of 3", "CT"),
        ("CT 15T03", "CT"),
        ("CT 15 Miller 3", "CT"),
        ("CT 15 2023", "CT"),
        ("CT 12 PET 03 lung 65", "CT PET lung"),
        ("CT 2.5 65", "CT"),
        ("CT 1.5.", "CT"),
        ("12.03.65%", ""),
        ("123-456-789", ""),
        ("1.2345678", ""),
        ("4711", ""),
    ],
)
def test_what_may_be_a_date_or_an_identifier_goes(original, cleaned):
    assert clean_text(original) == cleaned


@pytest.mark.parametrize(
    "text",
    ["CT 3.0 B30f", "CT 1.25", "CT Thorax 1.25mm", "CT 5.0 1.0", "Lung 0,75 B70f", "GTV_2 40.0%", "GTV1_c40", "CT_40",
     "4DCT T=40", "4DCT phase 30", "75% Ex", "100%In", "GTV+5mm", "IGTV_3mm", "120kV 3 mm", "PET WB 3D", "FDG F18",
     "GTV1+GTV2", "ITV50"],
)  # fmt: skip
def test_known_forms_and_single_numbers_stay(text):
    assert clean_text(text) == text


JOINTS = st.sampled_from([".", "-", "/", ",", ":", " ", "_", ". ", " - ", "T", "m", "^", " of ", " Miller ", ". der "])


@given(
    st.integers(1, 31), st.integers(1, 12), st.sampled_from(["03", "65", "1965", "2023"]), JOINTS, JOINTS, st.booleans()
)
def test_nothing_of_a_date_remains_however_it_is_joined(day, month, year, first, second, padded):
    numbers = (f"{day:02}", f"{month:02}") if padded else (str(day), str(month))
    assert clean_text(f"CT {numbers[0]}{first}{numbers[1]}{second}{year} lung") == "CT lung"
