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
