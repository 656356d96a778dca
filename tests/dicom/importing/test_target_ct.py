"""A planning CT in another frame of reference: registered, by REG, refused."""

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.registration import move_rigidly
from igtv.dicom.series import find_series
from igtv.dicom.volume import read_volume

PET_FRAME, PLANNING_FRAME = "1.2.77.1", "1.2.77.2"
HOT = (34, 50, 25)


def known_transform():
    """From points of the planning CT to points of the PET/CT."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter((0.0, 0.0, 0.0))
    transform.SetRotation(*np.radians((2.0, -1.5, 3.0)))
    transform.SetTranslation((12.0, -41.0, 87.0))
    return transform


def matrix_of(transform):
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return matrix


@pytest.fixture(scope="module")
def thorax(four_d_dir):
    """Phase 0 of a real CT, HU."""
    series = next(one for one in find_series(four_d_dir)[0] if one.description == "0.0%")
    return read_volume(series)[0]


@pytest.fixture(scope="module")
def planning(thorax):
    """The same body as another scanner would see it: moved, on an axial grid of other voxels, cut, noisy."""
    moved = move_rigidly(thorax, known_transform())
    corners = [
        moved.TransformContinuousIndexToPhysicalPoint((np.array(c) * moved.GetSize()).tolist())
        for c in np.ndindex(2, 2, 2)
    ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    spacing = np.array([4.0, 4.0, 5.0])
    size = np.round((high - low - [0, 0, 60]) / spacing).astype(int)
    image = sitk.Resample(
        moved, size.tolist(), sitk.Transform(), sitk.sitkBSpline, (low + [0, 0, 30]).tolist(), spacing.tolist(),
        np.eye(3).ravel().tolist(), -1000.0,
    )  # fmt: skip
    return sitk.AdditiveGaussianNoise(image, 15.0, 0.0, 3)


@pytest.fixture
def export(thorax, planning, dicom, tmp_path):
    """A PET/CT and a planning CT with a contour; returns the folder and the planning CT's series UID."""
    folder = tmp_path / "dicom"
    dicom.series(folder, thorax, "CT", study="1.1", frame=PET_FRAME, description="CT AC")
    dicom.series(folder, dicom.pet(thorax, HOT), "PT", study="1.1", frame=PET_FRAME, description="PET AC")
    uid = dicom.series(folder, planning, "CT", study="1.2", frame=PLANNING_FRAME, description="Planning CT")
    centre = known_transform().GetInverse().TransformPoint(thorax.TransformIndexToPhysicalPoint(HOT))
    x, y, z = planning.TransformPhysicalPointToIndex(centre)
    box = dicom.box(planning, (x - 3, y - 3, z - 2), (x + 4, y + 4, z + 3))
    dicom.rtstruct(folder / "rs", {"IGTV": box}, study="1.2", frame=PLANNING_FRAME, refers_to=[uid])
    return folder


def errors_mm(pet_path, thorax):
    """How far the eight corners of the PET lie from where the known transform puts them, after the import."""
    image = sitk.ReadImage(pet_path)
    truth = move_rigidly(thorax, known_transform())
    corners = [(np.array(corner) * (np.array(thorax.GetSize()) - 1)).tolist() for corner in np.ndindex(2, 2, 2)]
    points = [[one.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners] for one in (image, truth)]
    return np.linalg.norm(np.subtract(*points), axis=1)


def test_planning_ct_comes_back_within_a_millimetre_and_the_pet_with_it(export, thorax, run_import, log_of, tmp_path):
    folder = tmp_path / "data"
    datalist = run_import(export, folder, target_ct="Planning")
    assert errors_mm(folder / "P1" / "pet.nii.gz", thorax).max() < 1.0
    row = log_of(folder)["P1"]
    assert row["registration"]["method"] == "rigid registration"
    assert row["registration"]["quality"]["bone_dice"] > 0.75
    assert (folder / "P1" / "registration.png").is_file()
    assert row["source"]["ct"][0]["description"] == "Planning CT" and row["label_kind"] == "igtv"
    assert row["suv_max_in_label"] > 6  # the hot voxels lie in the contour of the planning CT
    assert datalist["training"][0]["ct_kind"] == "free breathing"
    # the PET's voxels are as the scanner made them: only the header was moved
    pet = nib.load(folder / "P1" / "pet.nii.gz").get_fdata()
    assert pet.max() == pytest.approx(9.0, rel=1e-3) and pet.shape == thorax.GetSize()


def test_a_registration_object_is_used_and_a_wrong_one_refused(export, thorax, dicom, run_import, log_of, tmp_path):
    right = matrix_of(known_transform())
    path = dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, right, study="1.2")
    folder = tmp_path / "data"
    run_import(export, folder, target_ct="Planning")
    assert log_of(folder)["P1"]["registration"]["method"] == "DICOM REG"
    assert errors_mm(folder / "P1" / "pet.nii.gz", thorax).max() < 0.01
    # the other way round: own frame is the planning CT's
    path.unlink()
    dicom.reg(export / "reg", PLANNING_FRAME, PET_FRAME, np.linalg.inv(right), study="1.2")
    run_import(export, folder, target_ct="Planning")
    assert errors_mm(folder / "P1" / "pet.nii.gz", thorax).max() < 0.01
    wrong = right.copy()
    wrong[2, 3] += 40
    dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, wrong, study="1.2")
    with pytest.raises(ValueError, match="does not fit the CT of the PET after DICOM REG"):
        run_import(export, folder, target_ct="Planning")
    assert json.loads((folder / "dataset.json").read_text())["training"] == []


def test_of_two_registrations_that_differ_the_user_chooses_one(export, thorax, dicom, run_import, tmp_path):
    """One is right, the other 2 mm off along x: the PET comes to lie where the chosen one puts it."""
    matrix = matrix_of(known_transform())
    path = dicom.reg(export / "reg1", PET_FRAME, PLANNING_FRAME, matrix, study="1.2", description="by the clinic")
    matrix[0, 3] += 2
    dicom.reg(export / "reg2", PET_FRAME, PLANNING_FRAME, matrix, study="1.2", description="by the trial")
    with pytest.raises(ValueError, match=r"2 registrations contradict each other.*--reg_series"):
        run_import(export, tmp_path / "data", target_ct="Planning")
    pet = tmp_path / "data" / "P1" / "pet.nii.gz"
    run_import(export, tmp_path / "data", target_ct="Planning", reg_series="trial")
    assert errors_mm(pet, thorax) == pytest.approx(2.0, abs=0.01)
    run_import(export, tmp_path / "data", target_ct="Planning", reg_series=pydicom.dcmread(path).SeriesInstanceUID)
    assert errors_mm(pet, thorax) == pytest.approx(0.0, abs=0.01)


def test_the_limit_of_the_bones_agreement_is_the_users(export, dicom, run_import, log_of, tmp_path):
    """A right registration of another scan, noisy and on other voxels: good enough by default, not for 0.99."""
    dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, matrix_of(known_transform()), study="1.2")
    with pytest.raises(ValueError, match=r"does not fit the CT of the PET after DICOM REG.*at least bone Dice 0\.99"):
        run_import(export, tmp_path / "data", target_ct="Planning", least_bone_dice=0.99)
    run_import(export, tmp_path / "data", target_ct="Planning")
    assert 0.55 < log_of(tmp_path / "data")["P1"]["registration"]["quality"]["bone_dice"] < 0.99


def test_a_scaling_registration_is_refused(export, dicom, run_import, tmp_path):
    dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, np.diag([1.1, 1, 1, 1]), study="1.2", kind="AFFINE")
    with pytest.raises(ValueError, match="not rigid"):
        run_import(export, tmp_path / "data", target_ct="Planning")


def test_contours_of_the_pet_frame_are_moved_to_the_planning_ct(export, thorax, dicom, run_import, log_of, tmp_path):
    (export / "rs").unlink()
    low, high = np.array(HOT) - 2, np.array(HOT) + 3
    dicom.rtstruct(export / "rs", {"GTV": dicom.box(thorax, low, high)}, study="1.1", frame=PET_FRAME)
    dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, matrix_of(known_transform()), study="1.2")
    run_import(export, tmp_path / "data", target_ct="Planning")
    row = log_of(tmp_path / "data")["P1"]
    assert any("moved to the target CT" in words for words in row["decisions"])
    label = sitk.ReadImage(tmp_path / "data" / "P1" / "label.nii.gz")
    inside = np.argwhere(sitk.GetArrayFromImage(label))[:, ::-1]
    centre = label.TransformContinuousIndexToPhysicalPoint(inside.mean(axis=0).tolist())
    truth = known_transform().GetInverse().TransformPoint(thorax.TransformIndexToPhysicalPoint(HOT))
    assert np.linalg.norm(np.subtract(centre, truth)) < 1.5
    assert row["label_ml"] == pytest.approx(5**3 * 5 * 5 * 6 / 1000, rel=0.1)  # coarse, turned voxels


def test_another_patients_ct_is_refused(thorax, dicom, unpacked, run_import, tmp_path):
    """A thorax, too, and filed under the same patient: only the images can tell."""
    other, _ = read_volume(unpacked("rtstruct/4DLung_113.tar.xz") / "4DLung_113" / "CT")
    other = sitk.BinShrink(other, [4, 4, 1])
    folder = tmp_path / "dicom"
    dicom.series(folder, thorax, "CT", study="1.1", frame=PET_FRAME, description="CT AC")
    dicom.series(folder, dicom.pet(thorax, HOT), "PT", study="1.1", frame=PET_FRAME, description="PET AC")
    dicom.series(folder, other, "CT", study="1.2", frame=PLANNING_FRAME, description="Planning CT")
    with pytest.raises(ValueError, match=r"another patient"):
        run_import(folder, tmp_path / "data", target_ct="Planning", labels=False)
    assert not (tmp_path / "data" / "P1").exists()


def test_targets_by_folder_kind_and_unknown_word(export, dicom, thorax, run_import, log_of, tmp_path):
    dicom.reg(export / "reg", PET_FRAME, PLANNING_FRAME, matrix_of(known_transform()), study="1.2")
    alone = tmp_path / "dicom" / "sub"
    uid = dicom.series(alone, thorax, "CT", study="1.3", frame=PET_FRAME, description="AIP")
    run_import(export, tmp_path / "data", target_ct=str(alone), labels=False, ct_series="CT AC")
    row = log_of(tmp_path / "data")["P1"]
    assert row["source"]["ct"][0]["series_uid"] == uid and row["ct_kind"] == "average"
    run_import(export, tmp_path / "data", target_ct="average", labels=False, ct_series="CT AC")
    assert log_of(tmp_path / "data")["P1"]["source"]["ct"][0]["series_uid"] == uid
    with pytest.raises(ValueError, match=r"--target_ct 'dosimetry' fits none of.*Planning CT"):
        run_import(export, tmp_path / "data", target_ct="dosimetry")
