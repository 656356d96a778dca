"""A mask that a client sends with the tag `original` is a proposal: checked, kept, and never a label."""

import errno
import json

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.studies.local_datastore import PairedLocalDatastore

INFO = {"label_info": [{"name": "igtv", "idx": 1}], "user": "anna", "client": "a script"}


@pytest.fixture
def store(write_pair, tmp_path) -> PairedLocalDatastore:
    write_pair(tmp_path / "studies", "a.nii.gz", "pet/a.nii.gz")
    return PairedLocalDatastore(tmp_path / "studies", tmp_path / "studies" / "igtv")


@pytest.fixture
def mask(store) -> sitk.Image:
    ct = sitk.ReadImage(store.get_image_uri("a"))
    voxels = np.zeros(ct.GetSize()[::-1], np.uint8)
    voxels[4:8, 10:14, 10:14] = 1
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(ct)
    return image


def send(store, image, path, tag="original", **info):
    sitk.WriteImage(image, str(path), True)
    return store.save_label("a", str(path), tag, {**INFO, **info})


def stored(store) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(store.get_label_uri("a", "original")))


def test_it_is_no_label(store, mask, tmp_path):
    send(store, mask, tmp_path / "mask.nrrd")
    assert np.array_equal(stored(store), sitk.GetArrayFromImage(mask))
    assert store.get_unlabeled_images() == ["a"] and store.get_labeled_images() == [] == store.final_labels()
    assert store.datalist() == [] and store.get_label_uri("a", "final") == ""
    assert store.status() == {"total": 1, "completed": 0, "label_tags": {"original": 1}}
    note = store.get_label_info("a", "original")
    assert (note["user"], note["client"], note["model"]) == ("anna", "a script", "unknown")
    (event,) = store.labels.events()
    assert (event["event"], event["outcome"], event["user"]) == ("proposal", "stored", "anna")


def test_a_submit_is_measured_against_it(store, mask, tmp_path):
    send(store, mask, tmp_path / "mask.nrrd", model="my own")
    send(store, mask, tmp_path / "mask.nrrd", tag="final")
    event = store.labels.current("a").event
    assert event["edit_dice"] == 1.0 and event["model"]["name"] == "my own"


def test_nothing_found_is_a_proposal_too(store, mask, tmp_path):
    send(store, mask * 0, tmp_path / "mask.nii.gz")
    assert not stored(store).any() and store.get_unlabeled_images() == ["a"]


def test_a_full_disk_is_said_and_the_trail_tells_of_nothing_stored(store, mask, tmp_path, monkeypatch):
    """The image writer says it in its own way; the server answers 507 to an error of the disk only."""
    send(store, mask, tmp_path / "mask.nrrd")
    sitk.WriteImage(mask * 0, str(tmp_path / "empty.nrrd"))

    def full(*_, **__):
        raise RuntimeError("no space left")

    monkeypatch.setattr("lib.labels.mask_file.sitk.WriteImage", full)
    with pytest.raises(OSError, match="is the disk full") as error:
        store.save_label("a", str(tmp_path / "empty.nrrd"), "original", INFO)
    assert error.value.errno == errno.ENOSPC
    assert np.array_equal(stored(store), sitk.GetArrayFromImage(mask))
    assert [event["outcome"] for event in store.labels.events()] == ["stored"]


def test_a_proposal_for_the_pet_goes_with_that_of_the_case(store, mask, tmp_path):
    pet = sitk.ReadImage(str(store.pet_path("a")))
    sitk.WriteImage(sitk.Cast(pet > 4, sitk.sitkUInt8), str(tmp_path / "mask.nii.gz"))
    store.record_proposal("a__pet", tmp_path / "mask.nii.gz", "igtv", 1)
    path, note = store.proposal("a", "pet")
    assert sitk.ReadImage(str(path)).GetSize() == mask.GetSize() and note["version"] == "1"
    assert store.proposal("a") is None and store.get_label_uri("a", "original") == ""
    send(store, mask, tmp_path / "mask.nrrd")
    store.remove_label("a", "original")
    assert store.proposal("a") is None and store.proposal("a", "pet") is None


def test_what_is_no_mask_on_the_ct_is_refused(store, mask, tmp_path):
    """As for labels: no text, no image, no other grid, no voxels of another file. The proposal of before stays."""
    send(store, mask, tmp_path / "mask.nrrd")
    (tmp_path / "text.nii.gz").write_text("no image")
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((8, 8, 8), np.uint8)), str(tmp_path / "small.nii.gz"))
    sitk.WriteImage(sitk.ReadImage(store.get_image_uri("a")), str(tmp_path / "ct.nii.gz"))
    header = (tmp_path / "mask.nrrd").read_bytes().partition(b"\n\n")[0]
    (tmp_path / "elsewhere.nrrd").write_bytes(header + b"\ndata file: /etc/hostname\n\n")
    for name in ("text.nii.gz", "small.nii.gz", "ct.nii.gz", "elsewhere.nrrd"):
        with pytest.raises(LabelRefused):
            store.save_label("a", str(tmp_path / name), "original", INFO)
    assert np.array_equal(stored(store), sitk.GetArrayFromImage(mask))
    assert [event["outcome"] for event in store.labels.events()] == ["stored"] + ["refused"] * 4
    json.dumps(store.json())
