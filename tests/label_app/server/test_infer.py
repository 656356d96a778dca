"""`POST /infer/{model}?output=dicom_seg`: made of masks only, and named for what made them."""

import json

import pytest
from lib.labels.errors import LabelRefused
from lib.server.routes import infer

ADDRESS = "/infer/igtv?image=case_a&output=dicom_seg"


@pytest.fixture
def with_dicom(made_up_app, monkeypatch):
    """A store as of a PACS; what a SEG is made of."""
    asked = []

    def proposal_seg(datastore, image_id, mask_path, params):
        asked.append((image_id, mask_path.is_file(), params))
        path = made_up_app.folders.temporary / "proposal.dcm"
        path.write_bytes(b"SEG")
        return path

    made_up_app.store.ct_dicom = lambda case: made_up_app.folders.temporary
    monkeypatch.setattr(infer, "proposal_seg", proposal_seg)
    return asked


def test_a_seg_is_made_of_what_the_answer_says(local, with_dicom, leftovers):
    for params in ({}, {"output": "mask"}):
        answer = local.post(ADDRESS, data={"params": json.dumps(params)})
        assert answer.status_code == 200 and answer.content == b"SEG"
        assert answer.headers["content-type"] == "application/dicom"
    assert with_dicom == [("case_a", True, {"label_names": {"igtv": 1}})] * 2
    assert leftovers() == []


def test_a_map_is_no_seg(local, with_dicom, made_up_app, leftovers):
    """Every voxel of one per cent would be tumour; refused before the network runs."""
    answer = local.post(ADDRESS, data={"params": '{"output": "probability"}'})
    assert answer.status_code == 400 and "holds a mask, not the probability" in answer.json()["detail"]
    assert with_dicom == [] == made_up_app.task.requests and leftovers() == []


def test_a_folder_has_no_dicom(local, made_up_app):
    answer = local.post(ADDRESS)
    assert answer.status_code == 400 and "DICOMweb" in answer.json()["detail"]
    assert made_up_app.task.requests == []


def test_a_session_has_no_dicom(local, with_dicom, made_up_app):
    answer = local.post("/infer/igtv?session_id=x&output=dicom_seg")
    assert answer.status_code == 400 and "DICOMweb" in answer.json()["detail"]
    assert made_up_app.task.requests == []


def test_a_refusal_leaves_no_file(local, with_dicom, monkeypatch, leftovers):
    def refuse(*_):
        raise LabelRefused("the proposal is empty")

    monkeypatch.setattr(infer, "proposal_seg", refuse)
    answer = local.post(ADDRESS)
    assert answer.status_code == 400 and "empty" in answer.json()["detail"]
    assert leftovers() == []
