"""Cases of a real PACS (Orthanc) with the real CT, PET and RTSTRUCT of STS_002: pairs, SUV, labels out and back in."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk
from lib.labels.errors import LabelRefused
from lib.labels.pacs_objects import proposal_seg
from lib.labels.stow import receive_stow
from lib.studies import dicomweb_datastore
from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.errors import PetMissing, UnknownImage
from lib.studies.pacs import PacsError

INFO = {"label_info": [{"name": "igtv", "idx": 1}]}
PREFIX = "1.3.6.1.4.1.14519.5.2.1.5168.1900."
CT, PET = PREFIX + "672471348177659964935135533244", PREFIX + "475429996794833172294137667411"
SECOND_PET = "2.25.1234567"


@pytest.fixture(autouse=True)
def patient_annotator(monkeypatch):
    """A label is in the PACS when it has been submitted, on a slow computer too."""
    monkeypatch.setattr(dicomweb_datastore, "PUSH_SECONDS", 120.0)


@pytest.fixture(scope="module")
def filled(start_orthanc, shared_dir):
    """A PACS with the study."""
    return start_orthanc(shared_dir / "data" / "dicom" / "STS_002")


@pytest.fixture
def open_store(filled, tmp_path):
    """Opens the PACS with a data folder; every test leaves the PACS with its labels."""
    return lambda name="data": PairedDicomWebDatastore(filled.address, tmp_path / name)


@pytest.fixture
def mask(shared_dir) -> sitk.Image:
    """A ball of 20 mm in the CT that reaches its lowest slice, as some tumours do."""
    series = sitk.ImageSeriesReader()
    files = [str(path) for path in (shared_dir / "data/dicom/STS_002/CT/image").glob("*.dcm")]
    series.SetFileNames(sorted(files, key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2])))
    ct = series.Execute()
    z, y, x = np.indices(ct.GetSize()[::-1])
    ball = (z * 3.27) ** 2 + ((y - 70) * 0.98) ** 2 + ((x - 90) * 0.98) ** 2 < 400
    image = sitk.GetImageFromArray(ball.astype(np.uint8))
    image.CopyInformation(ct)
    return image


def voxels(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def write(mask, path) -> str:
    sitk.WriteImage(mask, str(path), True)
    return str(path)


def clear_labels(orthanc) -> None:
    """Takes everything out of the PACS that is neither image nor the study's own contours."""
    for series in requests.get(f"{orthanc.root}/series?expand", timeout=30).json():
        if (
            series["MainDicomTags"].get("SeriesNumber", "").startswith("70")
            or series["MainDicomTags"]["Modality"] == "SEG"
        ):
            requests.delete(f"{orthanc.root}/series/{series['ID']}", timeout=30)


def test_ct_is_the_case_and_pet_its_companion(open_store, shared_dir, monkeypatch):
    store = open_store()
    assert store.list_images() == [CT] and store.get_unlabeled_images() == [CT]
    case = store.case(CT)
    assert (case["case"], case["patient_id"], case["grid"]) == (CT, "STS_002", "ct")
    assert store.case(PET) == {**case, "grid": "pet"} == store.case(f"{CT}__pet")
    assert store.get_image_uri(PET) == case["pet"] and store.get_image_uri(CT) == case["ct"]
    ct, pet = sitk.ReadImage(case["ct"]), sitk.ReadImage(case["pet"])
    assert ct.GetSize() == (161, 143, 48) and pet.GetSize() == (30, 27, 48)
    assert sitk.GetArrayFromImage(ct).min() == -1000
    crop = sitk.ReadImage(str(shared_dir / "data/petct_gtv/STS_002/pet.nii.gz"))
    assert sitk.GetArrayFromImage(pet).max() == pytest.approx(sitk.GetArrayFromImage(crop).max(), rel=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(store.pacs, "download", lambda *_: pytest.fail("what is here was asked for again"))
        assert store.case(CT) == case
    assert store.get_image_info(CT)["PatientID"] == "STS_002"
    for unknown in ("1.2.3", f"{CT}0", "../x", f"{CT}/../{PET}"):
        with pytest.raises(UnknownImage):
            store.case(unknown)


def test_label_goes_to_the_pacs_and_comes_back_whole(open_store, filled, mask, tmp_path):
    """Also when everything on this side is lost; from the SEG exactly, from the RTSTRUCT alone as well."""
    store = open_store()
    store.record_proposal(CT, write(mask, tmp_path / "proposal.nii.gz"), "igtv", 3)
    version = store.submit_label(CT, write(mask, tmp_path / "label.nrrd"), user="anna", params=INFO)
    assert version.event["edit_dice"] == 1 and store.get_unlabeled_images() == []
    assert filled.modalities() == ["CT", "PT", "RTSTRUCT", "RTSTRUCT", "RTSTRUCT", "SEG"]
    assert store.labels.events()[-1]["event"] == "pacs"
    store.refresh()
    assert [one.number for one in store.labels.versions(CT)] == [1]  # what was pushed is not taken in again
    for name, gone in (("second", None), ("third", "SEG")):
        for series in requests.get(f"{filled.root}/series?expand", timeout=30).json():
            if series["MainDicomTags"]["Modality"] == gone:
                requests.delete(f"{filled.root}/series/{series['ID']}", timeout=30)
        again = open_store(name)
        again.refresh()
        assert again.get_labeled_images() == [CT]
        (entry,) = again.final_labels()
        assert entry["user"] == "PACS" and sitk.ReadImage(entry["label"]).GetSize() == (161, 143, 48)
        assert np.array_equal(voxels(entry["label"]), sitk.GetArrayFromImage(mask))
    clear_labels(filled)


def test_proposals_in_the_pacs_never_count(open_store, filled, mask, tmp_path):
    store = open_store()
    seg = proposal_seg(store, CT, write(mask, tmp_path / "proposal.nii.gz"), {})
    header = pydicom.dcmread(seg)
    assert header.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    store.pacs.store([header])
    store.refresh()
    assert "SEG" in filled.modalities() and store.get_labeled_images() == []
    second = open_store("second")
    second.refresh()
    assert second.get_labeled_images() == []
    clear_labels(filled)


def test_labels_are_kept_while_the_pacs_is_away(open_store, filled, mask, tmp_path):
    store = open_store()
    store.case(CT)
    filled.stop()
    try:
        version = store.submit_label(CT, write(mask, tmp_path / "label.nrrd"), user="anna", params=INFO)
        assert version.number == 1 and store.get_labeled_images() == [CT]
        with pytest.raises(PacsError, match="does not answer"):
            open_store("second")
    finally:
        filled.restart()
    assert "SEG" not in filled.modalities()
    store.refresh()
    assert "SEG" in filled.modalities() and store.labels.events()[-1]["event"] == "pacs"
    clear_labels(filled)


def test_no_tumour_stays_here(open_store, filled, mask, tmp_path):
    store = open_store()
    params = {**INFO, "no_tumour": True}
    assert store.submit_label(CT, write(mask * 0, tmp_path / "label.nrrd"), user="anna", params=params).no_tumour
    store.refresh()
    assert store.get_labeled_images() == [CT] and "SEG" not in filled.modalities()


def test_stored_segmentation_is_checked(open_store, filled, mask, tmp_path):
    store = open_store()
    path = proposal_seg(store, CT, write(mask, tmp_path / "proposal.nii.gz"), {})
    seg = pydicom.dcmread(path)
    (tmp_path / "t").mkdir()
    app = SimpleNamespace(datastore=lambda: store, folders=SimpleNamespace(temporary=tmp_path / "t"))

    def send(dataset, kind="multipart/related; type=application/dicom; boundary=xyz", cut=None):
        dataset.save_as(tmp_path / "sent.dcm")
        part = b"Content-Type: application/dicom\r\n\r\n" + (tmp_path / "sent.dcm").read_bytes()[:cut]
        return receive_stow(app, kind, b"--xyz\r\n" + part + b"\r\n--xyz--", "anna", "OHIF")

    answer = send(seg)
    assert answer.status_code == 200 and seg.SOPInstanceUID.encode() in answer.body
    assert np.array_equal(voxels(store.labels.current(CT).path), sitk.GetArrayFromImage(mask))
    assert store.labels.current(CT).user == "anna"
    for change, words in (
        (lambda one: setattr(one.SegmentSequence[0], "SegmentLabel", "heart"), "nothing in it is called igtv"),
        (lambda one: setattr(one.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"), "not drawn on a CT"),
        (lambda one: setattr(one, "Modality", "CT"), "is no SEG"),
        (
            lambda one: setattr(one.file_meta, "ImplementationVersionName", "OHIF-VIEWER-2.0.0"),
            "slices in reverse order",
        ),
    ):
        changed = pydicom.dcmread(path)
        change(changed)
        with pytest.raises(LabelRefused, match=words):
            send(changed)
    for options, words in (
        ({"kind": "application/json"}, "multipart"),
        ({"kind": "multipart/related; boundary=other"}, "cut off"),
        ({"cut": 300}, "cut off|no SEG|no DICOM"),
    ):
        with pytest.raises(LabelRefused, match=words):
            send(pydicom.dcmread(path), **options)
    assert [one.number for one in store.labels.versions(CT)] == [1] and list((tmp_path / "t").iterdir()) == []
    clear_labels(filled)


def test_what_does_not_pair_is_said(start_orthanc, shared_dir, tmp_path):
    """A second PET, a CT without PET: no guess; a person's choice counts."""
    orthanc = start_orthanc(shared_dir / "data" / "dicom" / "STS_002" / "CT" / "image")
    store = PairedDicomWebDatastore(orthanc.address, tmp_path / "data")
    assert store.list_images() == [] and store.get_image_uri(CT)
    with pytest.raises(PetMissing, match="its study has no PET"):
        store.case(CT)
    second = tmp_path / "second"
    second.mkdir()
    for path in (shared_dir / "data" / "dicom" / "STS_002" / "PET" / "image").glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = SECOND_PET
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(second / path.name)
    orthanc.fill(second)
    store.refresh()
    assert store.list_images() == [CT]
    orthanc.fill(shared_dir / "data" / "dicom" / "STS_002" / "PET" / "image")
    store.refresh()
    assert store.list_images() == []
    with pytest.raises(PetMissing, match="2 PET series fit.*pairs.json"):
        store.case(CT)
    (tmp_path / "data" / "pairs.json").write_text(f'{{"{CT}": "{PET}"}}')
    assert store.list_images() == [CT] and store.case(CT)["pet"].endswith(f"{PET}.nii.gz")
    with pytest.raises(PetMissing, match="not the one that belongs"):
        store.case(SECOND_PET)
