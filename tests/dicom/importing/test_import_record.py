"""What tells that a case is already there."""

import pydicom
import pytest
from igtv.dicom.import_names import plan_cases
from igtv.dicom.import_options import ImportOptions
from igtv.dicom.import_record import fingerprint
from igtv.dicom.series import find_series


@pytest.fixture
def print_of(tmp_path):
    """`print_of()` -> fingerprint of the one patient below `tmp_path / "dicom"`."""

    def run(**options):
        (work,) = plan_cases(find_series(tmp_path / "dicom")[0])
        return fingerprint(work, ImportOptions(**options))

    return run


def edited(folder, modality, change):
    """Change one object in place: same file, same UIDs."""
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == modality:
            change(dataset)
            dataset.save_as(path)
            return path
    raise AssertionError(modality)


def move_contour(dataset):
    points = dataset.ROIContourSequence[0].ContourSequence[0]
    points.ContourData = [f"{float(points.ContourData[0]) + 1:.4f}", *list(points.ContourData)[1:]]


def test_contours_drawn_anew_under_their_old_uid_are_noticed(dicom, print_of, tmp_path):
    dicom.patient(tmp_path / "dicom")
    before = print_of()
    assert print_of() == before
    path = tmp_path / "dicom" / "P1_rs"
    size = path.stat().st_size
    assert edited(tmp_path / "dicom", "RTSTRUCT", move_contour) == path
    assert path.stat().st_size == size and print_of() != before


def test_a_corrected_weight_of_the_pet_is_noticed(dicom, print_of, tmp_path):
    dicom.patient(tmp_path / "dicom", label=False)
    before = print_of()
    edited(tmp_path / "dicom", "PT", lambda dataset: setattr(dataset, "PatientWeight", "80"))
    assert print_of() != before


def test_a_ct_file_of_another_size_is_noticed_and_a_moved_one_is_not(dicom, print_of, tmp_path):
    dicom.patient(tmp_path / "dicom", label=False)
    before = print_of()
    (tmp_path / "dicom" / "deep").mkdir()
    for path in (tmp_path / "dicom").glob("*_1"):
        path.rename(tmp_path / "dicom" / "deep" / path.name)
    assert print_of() == before
    edited(tmp_path / "dicom", "CT", lambda dataset: setattr(dataset, "ImageComments", "corrected by physics"))
    assert print_of() != before


def test_only_the_patients_own_options_count(dicom, print_of, tmp_path):
    dicom.patient(tmp_path / "dicom", label=False)
    assert print_of(nodes={"P9": True}) == print_of()
    assert print_of(nodes={"P1": True}) != print_of()


def test_a_value_that_is_no_number_does_not_stop_the_others(dicom, print_of, tmp_path):
    dicom.patient(tmp_path / "dicom", label=False)
    before = print_of()

    def spoil(dataset):
        dataset[0x00101030] = pydicom.dataelem.DataElement(0x00101030, "LO", "70 kg")
        dataset[0x00101030].VR = "LO"

    edited(tmp_path / "dicom", "PT", spoil)
    assert print_of() != before
