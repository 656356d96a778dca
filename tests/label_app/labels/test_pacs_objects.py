"""SEG and RTSTRUCT of labels and proposals, on the real CT of STS_002: always the same object, named for its maker."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.reference_series import read_reference
from igtv.dicom.series import load_series
from igtv.inference.manifest import bundle_version
from igtv.learning.registry import ModelRegistry
from lib.labels import pacs_objects
from lib.labels.errors import LabelRefused
from lib.labels.label_store import LabelStore
from lib.labels.pacs_objects import label_objects, proposal_seg

CASE = "1.2.3"
GTV = {
    "label_names": {"gtv": 1},
    "model": {"registry": "gtv", "version": 3, "name": "GTV net", "sha256": "ab" * 32},
    "output": "mask",
}


@pytest.fixture
def datastore(shared_dir, tmp_path) -> SimpleNamespace:
    folder = shared_dir / "data" / "dicom" / "STS_002" / "CT" / "image"
    return SimpleNamespace(ct_dicom=lambda case: folder, data_dir=tmp_path, resolve=lambda image_id: (image_id, "ct"))


@pytest.fixture
def mask(datastore) -> sitk.Image:
    """A box of 20 x 10 x 4 voxels."""
    image = sitk.Image(read_reference(load_series(datastore.ct_dicom(CASE))).grid)
    image[60:80, 50:60, 20:24] = 1
    return image


@pytest.fixture
def mask_path(mask, tmp_path) -> Path:
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    return tmp_path / "mask.nii.gz"


def test_a_label_is_the_same_object_every_time(datastore, store: LabelStore, mask):
    """Every attribute, also a second later; another version is another object."""
    event = {"user": "anna", "no_tumour": False, "model": {"name": "igtv", "version": "2"}}
    version = store.add(CASE, mask, event)
    first = label_objects(datastore, version)
    time.sleep(1.1)  # times in DICOM objects are in seconds
    for one, again in zip(first, label_objects(datastore, version), strict=True):
        assert one == again and one.file_meta == again.file_meta
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.SeriesNumber == 7001
    assert [one.Modality for one in first] == ["SEG", "RTSTRUCT"]
    assert first[0].SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    second = label_objects(datastore, store.add(CASE, mask, event))
    names = ("SeriesInstanceUID", "SOPInstanceUID")
    assert len({one[name].value for one in (*first, *second) for name in names}) == 8


def test_a_proposal_is_named_for_what_made_it(datastore, mask, mask_path):
    """By the answer itself, whatever was proposed for the case before."""
    header = pydicom.dcmread(proposal_seg(datastore, CASE, mask_path, GTV))
    (segment,) = header.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("GTV", "AUTOMATIC")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("GTV net v0003", bundle_version())
    assert (header.ManufacturerModelName, header.SoftwareVersions) == ("GTV net v0003", bundle_version())
    assert header.DeviceSerialNumber == "ab" * 32
    assert int(np.unpackbits(np.frombuffer(header.PixelData, np.uint8)).sum()) == 20 * 10 * 4


def test_a_proposal_of_unknown_origin_says_so(datastore, mask_path):
    header = pydicom.dcmread(proposal_seg(datastore, CASE, mask_path, {}))
    assert header.SegmentSequence[0].SegmentLabel == "IGTV" and header.ManufacturerModelName == "unknown"


def made_by(one) -> tuple[str, str]:
    return one.ManufacturerModelName, one.SoftwareVersions


def test_a_label_is_named_for_what_it_was_drawn_from(datastore, store: LabelStore, mask, tmp_path, bundle_dir):
    """By the registry's version and its weights; a model of a client's own by what the client calls it."""
    seed = ModelRegistry(tmp_path / "models", "igtv").seed(bundle_dir / "models" / "model.pt")
    event = {"user": "anna", "no_tumour": False}
    told = {"model": {"name": "igtv", "version": "1"}}
    seg, contours = label_objects(datastore, store.add(CASE, mask, event | told))
    name = f"{seed.card['name'][:58]} v0001"
    assert made_by(seg) == made_by(contours) == (name, bundle_version())
    assert seg.DeviceSerialNumber == seed.sha256
    (roi,) = contours.StructureSetROISequence
    assert roi.ROIDescription.startswith(f"{seed.card['name']} v0001, igtv bundle {bundle_version()}, weights SHA-256")
    for model, name in (
        ({"name": "igtv", "version": "7"}, "igtv 7"),
        ({"name": "../models/igtv", "version": "1"}, "../models/igtv 1"),
        ({"name": "net of our own", "version": ""}, "net of our own"),
        (None, "unknown"),
    ):
        objects = label_objects(datastore, store.add(CASE, mask, {**event, "model": model}))
        assert {made_by(one) for one in objects} == {(name, bundle_version())}


def test_an_empty_proposal_leaves_no_file(datastore, mask, mask_path, monkeypatch):
    sitk.WriteImage(mask * 0, str(mask_path))
    with pytest.raises(LabelRefused, match="empty"):
        proposal_seg(datastore, CASE, mask_path, GTV)
    sitk.WriteImage(mask, str(mask_path))
    monkeypatch.setattr(pacs_objects, "write_segmentation", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        proposal_seg(datastore, CASE, mask_path, GTV)
    assert list((datastore.data_dir / "temporary").iterdir()) == []
