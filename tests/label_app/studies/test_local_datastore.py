"""Cases of a folder: how CT and PET find each other, what is refused, labels in MONAI Label's own interface."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.server import self_check
from lib.studies.errors import PetMissing, UnknownImage
from lib.studies.local_datastore import PairedLocalDatastore

INFO = {"label_info": [{"name": "igtv", "idx": 1}]}


@pytest.fixture
def studies(tmp_path, write_pair):
    """`a` with its PET in `pet/`, `b` with `b_pet`, `c` without, `d` of a datalist."""
    folder = tmp_path / "studies"
    write_pair(folder, "a.nii.gz", "pet/a.nii.gz")
    write_pair(folder, "b.nii.gz", "b_pet.nii.gz")
    write_pair(folder, "c.nii.gz", None)
    write_pair(folder, "d x/ct.nii.gz", "d x/pet.nii.gz")
    item = {"ct": "d x/ct.nii.gz", "pet": "d x/pet.nii.gz", "patient_id": "d x"}
    (folder / "dataset.json").write_text(json.dumps({"training": [item]}))
    return folder


@pytest.fixture
def store(studies):
    return PairedLocalDatastore(studies, studies / "igtv")


def label(path, grid: sitk.Image, size: int = 3) -> str:
    mask = sitk.Image(grid.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(grid)
    mask[10 : 10 + size, 10:13, 5:8] = 1
    sitk.WriteImage(mask, str(path))
    return str(path)


def test_cases_and_their_pets(store, studies):
    assert store.list_images() == ["a", "b", "c", "d_x"]
    assert store.pet_path("a") == studies / "pet" / "a.nii.gz"
    assert store.pet_path("b") == studies / "b_pet.nii.gz"
    assert store.pet_path("d_x") == studies / "d x" / "pet.nii.gz"
    case = store.case("d_x")
    assert case["patient_id"] == "d x" and case["grid"] == "ct" and case["ct"].endswith("d x/ct.nii.gz")


def test_files_that_the_datalist_names_are_no_further_cases(studies, write_pair):
    """Flat files beside a datalist: neither the CT again under its file's name, nor PET and label as cases."""
    for name in ("P1", "P1_label"):
        write_pair(studies, f"{name}.nii.gz", "P1_suv.nii.gz")
    item = {"ct": "P1.nii.gz", "pet": "P1_suv.nii.gz", "label": "P1_label.nii.gz", "patient_id": "P1"}
    (studies / "dataset.json").write_text(json.dumps({"training": [item]}))
    store = PairedLocalDatastore(studies, studies / "igtv")
    assert store.list_images() == ["P1", "a", "b", "c"]
    assert store.pet_path("P1") == studies / "P1_suv.nii.gz"


def test_missing_pet_is_said(store):
    with pytest.raises(PetMissing, match=r"case c has no PET: put it .* pet/c.nii.gz"):
        store.case("c")


def test_pet_without_suv_is_said_without_the_servers_folders(store, studies):
    path = studies / "pet" / "a.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(path)) * 8000, str(path), True)
    with pytest.raises(PetMissing, match="not in SUV") as error:
        store.pet_path("a")
    assert str(studies) not in str(error.value)


def test_pet_elsewhere_is_said(store, studies):
    path = studies / "pet" / "a.nii.gz"
    pet = sitk.ReadImage(str(path))
    pet.SetOrigin([500.0, 0.0, 0.0])
    sitk.WriteImage(pet, str(path), True)
    with pytest.raises(PetMissing, match="covers 0% of the CT"):
        store.pet_path("a")


def test_pet_is_asked_for_under_its_own_id(store, studies):
    assert store.case("b__pet")["grid"] == "pet" and store.case("b__pet")["case"] == "b"
    assert store.get_image_uri("b__pet") == str(studies / "b_pet.nii.gz")


@pytest.mark.parametrize("image_id", ["z", "../a", "a/../b", "/etc/passwd", "", "a" * 200, "z__pet", "pet/a"])
def test_other_ids_are_refused(store, image_id):
    for call in (store.get_image_uri, store.case, store.get_image_info):
        with pytest.raises(UnknownImage):
            call(image_id)


def test_new_cases_are_seen(store, studies, write_pair):
    write_pair(studies, "e.nii.gz", "e_pet.nii.gz")
    assert "e" in store.list_images() and store.pet_path("e").name == "e_pet.nii.gz"


def test_datalist_under_repair_leaves_the_cases_as_they_were(store, studies):
    (studies / "dataset.json").write_text('{"training": [')
    assert store.list_images() == ["a", "b", "c", "d_x"]
    with pytest.raises(ValueError, match="not valid JSON"):
        PairedLocalDatastore(studies, studies / "igtv")


def test_patients_are_told_in_a_file(store, studies):
    assert store.patient_of("a") == "a" and store.cases_without_patient() == ["a", "b", "c"]
    assert "of 3 the file's name stands for the patient" in local_studies(store)
    (studies / "patients.json").write_text(json.dumps({"a": "P1", "b": "P1", "gone": "P2"}))
    assert (store.patient_of("a"), store.patient_of("b"), store.patient_of("d_x")) == ("P1", "P1", "d x")
    assert store.case("a")["patient_id"] == "P1" and store.cases_without_patient() == ["c"]
    (studies / "patients.json").write_text(json.dumps({"a": "P1", "b": "P1", "c": "P3"}))
    assert local_studies(store) == "4 cases"


@pytest.mark.parametrize("content", ['{"a": ', '["a"]', '{"a": 1}', '{"a": ""}'])
def test_damaged_patients_are_refused_at_start_and_ignored_later(store, studies, content):
    (studies / "patients.json").write_text(content)
    assert store.list_images() == ["a", "b", "c", "d_x"]
    with pytest.raises(ValueError, match=r"patients\.json"):
        PairedLocalDatastore(studies, studies / "igtv")


def local_studies(store) -> str:
    """What the server's log says of the studies at start."""
    return self_check.studies(SimpleNamespace(studies=str(store.studies), datastore=lambda: store))[1]


def test_two_cases_of_one_name_are_refused(studies, write_pair):
    write_pair(studies, "d_x.nii.gz", None)
    with pytest.raises(ValueError, match="two cases are called d_x"):
        PairedLocalDatastore(studies, studies / "igtv")


def test_label_travels_through_monai_labels_interface(store, studies, tmp_path):
    grid = sitk.ReadImage(str(studies / "a.nii.gz"))
    store.save_label("a", label(tmp_path / "proposal.nii.gz", grid, size=6), "original", {"model": "igtv"})
    assert store.status() == {"total": 4, "completed": 0, "label_tags": {"original": 1}}
    given = {**INFO, "user": "anna", "client_id": "slicer-1", "client": "Slicer"}
    store.save_label("a", label(tmp_path / "final.nrrd", grid), "final", given)
    assert store.status() == {"total": 4, "completed": 1, "label_tags": {"final": 1, "original": 1}}
    assert store.get_unlabeled_images() == ["b", "c", "d_x"] and store.get_labeled_images() == ["a"]
    assert store.get_labels_by_image_id("a") == {"final": "a", "original": "a"}
    info = store.get_label_info("a", "final")
    assert (info["user"], info["client"], info["model"]["name"]) == ("anna", "slicer-1 Slicer", "igtv")
    assert info["edit_dice"] == pytest.approx(2 * 27 / (27 + 54), abs=1e-4)
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(store.get_label_uri("a", "final"))),
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "final.nrrd"))),
    )
    (entry,) = store.final_labels()
    assert (entry["image"], entry["version"], entry["no_tumour"], entry["patient_id"]) == ("a", 1, False, "a")
    assert store.json()["objects"]["a"]["labels"].keys() == {"final", "original"}
    store.remove_label("a", "final")
    assert store.get_labeled_images() == [] and len(store.labels.versions("a")) == 1


def test_refusals_are_in_the_audit_trail_and_change_nothing(store, tmp_path):
    text = tmp_path / "label.nii.gz"
    text.write_text("this is no image")
    small = tmp_path / "small.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((8, 8, 8), np.uint8)), str(small))
    for path in (text, small):
        with pytest.raises(LabelRefused):
            store.submit_label("a", path, user="ben", params=INFO)
    with pytest.raises(LabelRefused, match="have the tag"):
        store.save_label("a", str(small), "../../lib", {})
    events = store.labels.events()
    assert [event["outcome"] for event in events] == ["refused", "refused"] and events[0]["user"] == "ben"
    assert store.get_labeled_images() == [] and list((store.labels.history).iterdir()) == []


def test_no_tumour_is_a_label(store, studies, tmp_path):
    grid = sitk.ReadImage(str(studies / "b.nii.gz"))
    path = label(tmp_path / "empty.nii.gz", grid, size=0)
    version = store.submit_label("b", path, user="anna", params={**INFO, "no_tumour": True})
    assert version.no_tumour and store.final_labels()[0]["no_tumour"] and store.get_labeled_images() == ["b"]


def test_restart_finds_everything(store, studies, tmp_path):
    grid = sitk.ReadImage(str(studies / "a.nii.gz"))
    store.submit_label("a", label(tmp_path / "final.nrrd", grid), user="anna", params=INFO)
    store.update_image_info("a", {"score": 0.5})
    again = PairedLocalDatastore(studies, studies / "igtv")
    assert again.get_labeled_images() == ["a"] and again.get_image_info("a")["score"] == 0.5
    assert again.recovered == []


def test_damaged_datastore_file_is_rebuilt(store, studies, tmp_path):
    grid = sitk.ReadImage(str(studies / "a.nii.gz"))
    store.submit_label("a", label(tmp_path / "final.nrrd", grid), user="anna", params=INFO)
    for score in (0.25, 0.5):
        store.update_image_info("a", {"score": score})
    path = studies / "igtv" / "datastore_v2.json"
    for damage in (path.read_text()[:-20], "", "[]", '{"images": 3}', "\0" * 100):
        path.write_text(damage)
        again = PairedLocalDatastore(studies, studies / "igtv")
        assert "was damaged" in again.recovered[0]
        assert again.get_labeled_images() == ["a"] and again.get_image_info("a")["score"] == 0.25
        again.update_image_info("a", {"score": 0.25})
        again.update_image_info("a", {"more": 1})
        assert json.loads(path.read_text())["images"]["a"] == {"score": 0.25, "more": 1}
