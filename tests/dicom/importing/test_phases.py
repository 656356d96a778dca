"""Phases of a 4D-CT by name and tag, their order, what is missing."""

from types import SimpleNamespace

import pytest
from igtv.dicom.errors import DicomError
from igtv.dicom.phases import PhaseName, find_four_d, missing_phases, phase_in_text, sort_four_d
from igtv.dicom.series import Series
from pydicom.dataset import Dataset


def series(description, uid="1", frame="F", study="S", modality="CT", **tags):
    header = Dataset()
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    return Series("P", study, uid, modality, frame, description, (SimpleNamespace(name="f"),), (header,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0%", (0, "")),
        ("P4^P113^S303^I10349, Gated, 40.0%B", (40, "")),
        ("T=50%", (50, "")),
        ("4DCT phase 30", (30, "")),
        ("Thorax_Gated_T20", (20, "")),
        ("75% Ex", (75, "ex")),
        ("100In", (100, "in")),
        ("CT Thorax 5mm B30f", None),
        ("CT 2.0 B30f", None),
        ("Resp 0%-90%", None),
        ("CT ASIR 30%", None),
        ("CT 30% ASIR-V", None),
        ("Thorax ASIR-V:30%", None),
        ("AC CT 10% contrast", None),
        ("Contrast 10 %", None),
        ("iDose 50%", None),
        ("4D ADMIRE 40%", None),
        ("SAFIRE (50%)", None),
        ("GTV_PET_40%", None),
        ("GTV 40%SUVmax", None),
        ("4D 50% ASIR 30%", (50, "")),
        ("30% ASIR 4D T50%", (50, "")),
        ("GTV 40%", (40, "")),
        ("", None),
    ],
)
def test_phase_in_a_description(text, expected):
    assert phase_in_text(text) == (None if expected is None else PhaseName(*expected))


def test_phases_are_sorted_by_time_not_by_name_or_uid():
    members = [series(f"{value}.0%", uid=str(100 - value)) for value in (90, 10, 0, 50, 40, 20, 30, 80, 70, 60)]
    (found,) = find_four_d([*members, series("CT Thorax", "x")])
    assert [name.percent for name in found.names] == list(range(0, 100, 10))
    assert [one.description for one in found.series] == [f"{value}.0%" for value in range(0, 100, 10)]


def test_the_tag_of_respiration_goes_before_the_description():
    members = [series("4D", str(value), NominalPercentageOfRespiratoryPhase=value) for value in (75, 0, 25, 50)]
    (found,) = find_four_d(members)
    assert [name.percent for name in found.names] == [0, 25, 50, 75]


def test_depth_of_breath_is_sorted_out_then_in():
    members = [series(text, text) for text in ("0% Ex", "50% In", "100% In", "50% Ex", "75% In", "75% Ex")]
    (found,) = find_four_d(members)
    assert [str(name) for name in found.names] == ["100 % in", "75 % ex", "50 % ex", "0 % ex", "50 % in", "75 % in"]


def test_a_missing_phase_is_named_and_may_be_accepted():
    members = [series(f"{value}%", str(value)) for value in range(0, 100, 10) if value != 30]
    with pytest.raises(DicomError, match=r"phase 30 % of the 4D-CT is missing.*--allow_missing_phases"):
        find_four_d(members)
    (found,) = find_four_d(members, allow_missing_phases=True)
    assert any("30 %" in words for words in found.decisions)


def test_a_phase_twice_is_refused_with_both_series():
    members = [series(f"{value}%", str(value)) for value in (0, 50)] + [series("50%", "1.9.9")]
    with pytest.raises(DicomError, match=r"phase 50 % of the 4D-CT occurs 2 times .*50.*1\.9\.9.*--exclude_series"):
        find_four_d(members)


def test_two_scans_are_two_cycles_and_one_phase_is_none():
    members = [series(f"{v}%", f"{f}{v}", frame=f) for f in "AB" for v in (0, 50)]
    assert len(find_four_d(members)) == 2
    assert find_four_d([series("Gated, 40.0%B")]) == []


def test_phases_half_a_step_late_are_complete():
    assert missing_phases([PhaseName(float(value)) for value in range(5, 100, 10)]) == []
    assert missing_phases([PhaseName(float(value)) for value in (0, 20, 40, 80)]) == [60.0]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (range(10, 101, 10), []),
        (range(0, 101, 10), []),
        ([25, 50, 75, 100], []),
        ([17, 33, 50, 67, 83, 100], []),
        ([0, 12, 25, 37, 50, 62, 75, 87], []),
        ([50, 100], []),
        ([0, 100], []),
        ([10, 20, 40, 50, 60, 70, 80, 90, 100], [30]),
        (range(10, 100, 10), [0]),
        ([17, 33, 67, 83, 100], [50]),
    ],
)
def test_100_percent_is_the_0_percent_of_the_next_cycle(values, missing):
    assert missing_phases([PhaseName(float(value)) for value in values]) == missing


def test_a_cycle_from_10_to_100_percent_is_whole_and_knows_its_0_percent():
    (found,) = find_four_d([series(f"{value}%", str(value)) for value in range(10, 101, 10)])
    assert [name.percent for name in found.names] == list(range(10, 101, 10))
    assert found.own_name(PhaseName(0)) == PhaseName(100) and found.own_name(PhaseName(5)) is None
    (found,) = find_four_d([series(f"{value}%", str(value)) for value in range(0, 101, 10)])
    assert found.own_name(PhaseName(0)) == PhaseName(0)
    assert any("0 % and 100 % are both there" in words for words in found.decisions)
    assert find_four_d([series("4D 0%", "a"), series("4D 100%", "b")]) == []


def test_an_unsound_4d_ct_leaves_the_others_as_they_are():
    whole = [series(f"{value}%", f"a{value}") for value in (0, 50)]
    lacking = [series(f"{value}%", f"b{value}", frame="G") for value in (0, 20, 40, 80)]
    (sound,), (unsound,) = sort_four_d([*lacking, *whole])
    assert list(sound.series) == whole and list(unsound.series) == lacking
    assert "phase 60 % of the 4D-CT is missing" in unsound.reason


@pytest.mark.parametrize(
    "texts",
    [
        ["CTAC ASIR 0%", "CTAC ASIR 50%"],
        ["CT ASIR 30%", "CT ASIR 40%", "CT ASIR 50%"],
        ["CTAC 0%", "CTAC 50%"],
        ["CT 30%", "CT 40%", "CT 50%"],
        ["CT 20%", "CT 40%", "CT 60%"],
    ],
)
def test_percentages_alone_make_no_cycle(texts):
    assert find_four_d([series(text, text) for text in texts]) == []


@pytest.mark.parametrize(
    ("texts", "phases"),
    [
        (["CTAC 0%", "CTAC 50%", "CTAC 25%", "CTAC 75%"], [0, 25, 50, 75]),
        (["Thorax 0%", "Thorax 33%", "Thorax 67%"], [0, 33, 67]),
        (["Gated CTAC 0%", "Gated CTAC 50%"], [0, 50]),
        (["T=0%", "T=50%"], [0, 50]),
        (["4D 0% ASIR 30%", "4D 50% ASIR 30%", "4D 0% ASIR 60%"], [0, 50]),
    ],
)
def test_an_evenly_divided_cycle_or_a_word_of_4d_makes_one(texts, phases):
    (found,) = find_four_d([series(text, text) for text in texts])
    assert [name.percent for name in found.names] == phases


def test_a_cycle_of_percentages_alone_may_lack_a_phase():
    with pytest.raises(DicomError, match="phase 30 % of the 4D-CT is missing"):
        find_four_d([series(f"Thorax {value}%", str(value)) for value in range(0, 100, 10) if value != 30])


def test_a_tag_of_respiration_makes_a_cycle_of_two():
    members = [series("CTAC", str(value), NominalPercentageOfRespiratoryPhase=value) for value in (0, 50)]
    assert len(find_four_d(members)) == 1
