"""Options for all patients or for one."""

import pytest
import SimpleITK as sitk
from igtv.dicom.import_options import ImportOptions


def test_a_mapping_applies_to_its_patients_only():
    options = ImportOptions(
        nodes={"P7": True, "default": False},
        labels={"P7": False},
        kind={7: "gtv"},
        allow_missing_phases={"default": True},
        least_bone_dice={"P7": 0.4},
        roi={"P7": "GTV_2"},
    )
    one, other, seven = (options.for_patient(name) for name in ("P7", "P8", "7"))
    assert (one.nodes, one.labels, one.kind, one.least_bone_dice, one.roi) == (True, False, "igtv", 0.4, "GTV_2")
    assert (other.nodes, other.labels, other.kind, other.least_bone_dice, other.roi) == (
        False,
        True,
        "igtv",
        0.55,
        None,
    )
    assert seven.kind == "gtv"
    assert one.allow_missing_phases and other.allow_missing_phases


@pytest.mark.parametrize(
    "choices",
    [
        {"nodes": "False"},
        {"nodes": {"P7": "yes"}},
        {"labels": {"P7": None}},
        {"allow_missing_phases": 1},
        {"kind": {"P7": "ctv"}},
        {"kind": {"P7": None}},
        {"least_bone_dice": {"default": 1.5}},
        {"least_bone_dice": "0.5"},
        {"least_bone_dice": {"P7": True}},
        {"exclude_series": ("CT", 5.0, "B30f")},
        {"exclude_series": {"P7": ("CT", 5)}},
    ],
)
def test_a_wrong_value_is_refused_also_within_a_mapping(choices):
    with pytest.raises(ValueError, match=f"{next(iter(choices))} is "):
        ImportOptions(**choices)


def test_a_patient_who_is_not_there_is_refused_by_name():
    options = ImportOptions(nodes={"P7": True, "default": False}, roi={12: "GTV"})
    options.check_patients(["P7", "12", "P8"])
    with pytest.raises(ValueError, match=r"--roi names '12': no such PatientID"):
        options.check_patients(["P7"])
    with pytest.raises(ValueError, match=r"--nodes names 'P7'"):
        options.check_patients(["p7", "12"])


def test_the_import_refuses_a_misspelt_patient_before_it_starts(dicom, run_import, tmp_path):
    dicom.patient(tmp_path / "dicom", "A")
    with pytest.raises(ValueError, match=r"--kind names 'AA'"):
        run_import(tmp_path / "dicom", tmp_path / "data", kind={"AA": "gtv"})
    assert not (tmp_path / "data" / "A").exists()


@pytest.fixture
def label_voxels(dicom, run_import, tmp_path):
    """`label_voxels(**options)` -> voxels of the label made of three boxes of 27, 16 and 12 voxels, A, GTV and GTVn."""
    ct = dicom.patient(tmp_path / "dicom", label=False, frame="1.2.9")
    boxes = {
        "A": dicom.box(ct, (11, 10, 5), (14, 13, 8)),
        "GTV": dicom.box(ct, (6, 6, 2), (8, 10, 4)),
        "GTVn": dicom.box(ct, (6, 12, 2), (9, 14, 4)),
    }
    dicom.rtstruct(tmp_path / "dicom" / "rs", boxes, frame="1.2.9")

    def count(**options):
        run_import(tmp_path / "dicom", tmp_path / "data", **options)
        return int(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "data" / "P1" / "label.nii.gz")).sum())

    return count


def test_the_label_is_the_union_of_what_the_options_name(label_voxels):
    assert label_voxels() == 16
    assert label_voxels(nodes=True) == 16 + 12
    assert label_voxels(roi=["A", "GTV"]) == 27 + 16
    assert label_voxels(roi=["A", "GTV*"]) == 27 + 16 + 12
    assert label_voxels(roi="A") == 27


def test_contours_are_left_unread_for_one_patient(dicom, run_import, tmp_path):
    for patient in ("A", "B"):
        dicom.patient(tmp_path / "dicom" / patient, patient)
    datalist = run_import(tmp_path / "dicom", tmp_path / "data", labels={"A": False})
    assert [item["patient_id"] for item in datalist["training"]] == ["B"]
    assert [item["patient_id"] for item in datalist["testing"]] == ["A"]
