"""What cases are called: no two the same, whatever the clinic's IDs are."""

from pathlib import Path

import pytest
from igtv.dicom.import_names import plan_cases
from igtv.dicom.series import Series
from pydicom.dataset import Dataset


def pet(patient, study, date="20200101"):
    header = Dataset()
    header.StudyDate = date
    return Series(patient, study, f"{study}.1", "PT", "1.2", "PET", (Path("a"),), (header,))


def named(*series, **options):
    """(patient, study) -> name of the case."""
    return {(work.patient_id, work.study_uid): work.case for work in plan_cases(series, **options)}


def test_a_second_study_does_not_take_the_name_of_another_patient():
    cases = named(pet("P1", "1"), pet("P1", "2", "20210101"), pet("P1_1", "3"))
    assert cases["P1", "2"] == "P1_2"
    assert cases["P1", "1"] != cases["P1_1", "3"]
    assert {cases["P1", "1"][:5], cases["P1_1", "3"][:5]} == {"P1_1_"}


def test_upper_and_lower_case_do_not_tell_names_apart():
    cases = named(pet("P1", "1"), pet("P1", "2"), pet("p1_2", "3"))
    assert cases["P1", "1"] == "P1_1"
    assert len({case.lower() for case in cases.values()}) == 3


def test_a_name_of_an_earlier_import_stays_with_its_patient():
    held = {"P1_1": "P1", "P2": "P2"}
    assert named(pet("P1", "1"), pet("P1", "2"), pet("P2", "4"), held=held) == {
        ("P1", "1"): "P1_1",
        ("P1", "2"): "P1_2",
        ("P2", "4"): "P2",
    }
    alone = named(pet("P1_1", "3"), held=held)["P1_1", "3"]
    assert alone.startswith("P1_1_")
    assert alone == named(pet("P1_1", "3"), pet("P1", "1"), pet("P1", "2"), held=held)["P1_1", "3"]


def test_a_scan_of_a_later_export_does_not_take_the_name_of_an_earlier_one(caplog):
    """January is P1; June comes alone, then both again, then the year before: no name goes to another scan."""
    held, studies = {"P1": "P1"}, {"P1": "jan"}
    assert named(pet("P1", "jan"), held=held, studies=studies) == {("P1", "jan"): "P1"}
    assert caplog.text == ""
    assert named(pet("P1", "jun"), held=held, studies=studies) == {("P1", "jun"): "P1_2"}
    assert "case P1_2: another scan of patient P1 than that of case P1" in caplog.text
    held, studies = {"P1": "P1", "P1_2": "P1"}, {"P1": "jan", "P1_2": "jun"}
    assert named(pet("P1", "jun"), held=held, studies=studies) == {("P1", "jun"): "P1_2"}
    both = named(pet("P1", "jan", "20200101"), pet("P1", "jun", "20200601"), held=held, studies=studies)
    assert both == {("P1", "jan"): "P1_1", ("P1", "jun"): "P1_2"}
    held, studies = held | {"P1_1": "P1"}, studies | {"P1_1": "jan"}  # the folder P1 stays
    assert named(pet("P1", "jan"), held=held, studies=studies) == {("P1", "jan"): "P1_1"}
    assert named(pet("P1", "old"), held=held, studies=studies) == {("P1", "old"): "P1_3"}


def test_numbers_of_known_scans_do_not_move_on_when_an_older_one_arrives():
    held, studies = {"P1_1": "P1", "P1_2": "P1"}, {"P1_1": "b", "P1_2": "c"}
    series = [pet("P1", "a", "20190101"), pet("P1", "b", "20200101"), pet("P1", "c", "20210101")]
    names = named(*series, held=held, studies=studies)
    assert names == {("P1", "a"): "P1_3", ("P1", "b"): "P1_1", ("P1", "c"): "P1_2"}


def test_a_free_number_is_no_other_patients_name():
    held, studies = {"P1": "P1", "p1_2": "p1_2"}, {"P1": "jan", "p1_2": "x"}
    names = named(pet("P1", "jun"), pet("P1_3", "y"), held=held, studies=studies)
    assert names == {("P1", "jun"): "P1_4", ("P1_3", "y"): "P1_3"}


def test_an_export_without_the_pet_is_another_case_and_a_pet_that_comes_later_is_not():
    without = Series("P1", "7", "7.1", "CT", "1.2", "CT", (Path("a"),), (Dataset(),))
    held, studies = {"P1": "P1"}, {"P1": "jan"}
    assert named(without, held=held, studies=studies) == {("P1", ""): "P1_2"}
    held, studies = {"P1": "P1", "P1_2": "P1"}, {"P1": "jan", "P1_2": ""}
    assert named(without, held=held, studies=studies) == {("P1", ""): "P1_2"}
    assert named(pet("P1", "jan"), held={"P1": "P1"}, studies={"P1": ""}) == {("P1", "jan"): "P1"}


@pytest.mark.parametrize("other_import", [False, True])
def test_both_patients_are_imported(dicom, run_import, tmp_path, other_import):
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for frame in ("1.2.1", "1.2.2"):
        dicom.patient(source / frame, "P1", frame=frame, label=False)
    if other_import:
        run_import(source, folder)
        source = tmp_path / "later"
    dicom.patient(source / "other", "P1_1", label=False)
    listed = run_import(source, folder)["testing"]
    assert sorted(item["patient_id"] for item in listed) == ["P1", "P1", "P1_1"]
    assert len({item["ct"].lower() for item in listed}) == 3
