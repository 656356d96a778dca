"""MONAI Label's own command as people know it: next sample, labels, training, on a folder and on a PACS.

The PACS asks for a password and has a certificate that nobody signed.
"""

import json
import os
import shutil
import subprocess

import numpy as np
import psutil
import pytest
import requests
import SimpleITK as sitk
from igtv.inference.case_segmenter import CaseSegmenter

from ..waiting import wait_for
from .conftest import TRAINING_PATIENTS, command, infer

CT = "1.3.6.1.4.1.14519.5.2.1.5168.1900.672471348177659964935135533244"
INFO = {"label_info": [{"name": "igtv", "idx": 1}]}
TINY_TRAINING = {"max_epochs": 1, "samples_per_epoch": 2, "device": "cpu"}
TRAINING_LIMIT_S = float(os.environ.get("IGTV_TEST_TRAINING_LIMIT_S", 600))
HELD_OUT = "STS_010"
USER, PASSWORD = "igtv", "a password of its own"
USER_SETTINGS = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}


@pytest.fixture
def conf(patients, tmp_path):
    """Options of a server whose gate lets every finite candidate pass."""
    frozen = patients / "frozen" / "dataset.json"
    given = {"frozen_set": frozen, "gate_margin": "1.0", "max_case_drop": "1.0", "device": "cpu", "warm_up": "false"}
    given["data_dir"] = tmp_path / "data"
    return [part for name, value in given.items() for part in ("--conf", name, str(value))]


@pytest.fixture(scope="module")
def certificate(make_certificate, tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate") / "pacs.pem")


@pytest.fixture(scope="module")
def pacs(start_orthanc, certificate, shared_dir):
    study = shared_dir / "data" / "dicom" / "STS_002"
    return start_orthanc(study, user=USER, password=PASSWORD, certificate=certificate)


def add_case(studies, source, patient) -> None:
    """One more case of an import."""
    shutil.copytree(source / patient, studies / patient, ignore=shutil.ignore_patterns("label*"))
    content = json.loads((studies / "dataset.json").read_text())
    content["training"].append({"patient_id": patient, "ct": f"{patient}/ct.nii.gz", "pet": f"{patient}/pet.nii.gz"})
    (studies / "dataset.json").write_text(json.dumps(content))


def train(client) -> dict:
    """A training to its end, and what `/info/` says of it."""
    assert client.train_start("igtv", dict(TINY_TRAINING))["status"] in ("SUBMITTED", "RUNNING")
    wait_for(lambda: not client.train_status(check_if_running=True), TRAINING_LIMIT_S, "fine-tuning")
    record = client.train_status()
    assert record["status"] == "DONE", record
    return client.info()["train_stats"]["igtv"]


def learned_from(data) -> dict[str, bool]:
    """Cases of the second version, and whether they are negatives."""
    manifest = json.loads((data / "models" / "igtv" / "versions" / "v0002" / "manifest.json").read_text())
    return {entry["case"]: entry.get("no_tumour", False) for entry in manifest["data"]}


def test_folder(server_process, own_studies, patients, conf, tmp_path):
    """Three cases are labelled, one of them as 'no tumour'; a frozen patient's case comes last and teaches nothing."""
    add_case(own_studies, patients / "frozen", HELD_OUT)
    server = server_process(own_studies, *conf, stock=True, name="stock_folder").start()
    client = server.client(tmp_path / "client")
    for _ in TRAINING_PATIENTS:
        answer = client.next_sample("first", {})
        case = answer["id"]
        assert case in TRAINING_PATIENTS and "note" not in answer
        path, params = patients / "labels" / f"{case}.nii.gz", dict(INFO)
        if case == TRAINING_PATIENTS[-1]:
            path, params["no_tumour"] = tmp_path / "empty.nii.gz", True
            sitk.WriteImage(sitk.ReadImage(str(patients / "labels" / f"{case}.nii.gz")) * 0, str(path))
        client.save_label(case, str(path), "final", params)
    answer = client.next_sample("first", {})
    assert answer["id"] == HELD_OUT and "frozen validation set" in answer["note"]
    stats = train(client)
    assert stats["accepted"] is True and stats["version"] == 2
    assert learned_from(tmp_path / "data") == {case: case == TRAINING_PATIENTS[-1] for case in TRAINING_PATIENTS}
    # a proposal of the annotator's own is no label
    client.save_label(HELD_OUT, str(patients / "frozen" / HELD_OUT / "label.nii.gz"), "original", INFO)
    assert client.info()["datastore"]["completed"] == len(TRAINING_PATIENTS)
    client.save_label(HELD_OUT, str(patients / "frozen" / HELD_OUT / "label.nii.gz"), "final", INFO)
    client.save_label(
        TRAINING_PATIENTS[-1], str(patients / "labels" / f"{TRAINING_PATIENTS[-1]}.nii.gz"), "final", INFO
    )
    client.train_start("igtv", {**TINY_TRAINING, "max_epochs": 500})
    children = wait_for(server.children, TRAINING_LIMIT_S, "the process of the training")
    assert server.stop()
    assert not psutil.wait_procs(children, timeout=30)[1]  # stopping the server stopped the training


def test_pacs(server_process, pacs, certificate, conf, bundle_dir, tmp_path):
    """To a better model and back; what is served are the masks of the version that the answer names."""
    options = [*conf, "--conf", "pacs_certificate", str(certificate)]
    server = server_process(pacs.address, *options, stock=True, environment=USER_SETTINGS, name="stock_pacs").start()
    client = server.client(tmp_path / "client")
    assert client.next_sample("first", {})["id"] == CT
    searched = requests.get(f"{server.url}/proxy/dicom/studies", timeout=TRAINING_LIMIT_S)
    assert searched.status_code == 200 and len(searched.json()) == 1
    first, answer = infer(client, CT)
    assert answer["model"]["version"] == 1
    client.save_label(CT, str(ball_on(client, tmp_path)), "final", INFO)
    assert client.next_sample("first", {}) == {}
    wait_for(lambda: "SEG" in pacs.modalities(), TRAINING_LIMIT_S, "the label in the PACS")
    stats = train(client)
    assert stats["accepted"] is True and stats["version"] == 2
    assert learned_from(tmp_path / "data") == {CT: False}
    second, answer = infer(client, CT)
    assert answer["model"]["version"] == 2 and answer["size"] == (161, 143, 48)
    assert second == mask_by_bundle(bundle_dir, tmp_path / "data", "v0002") != first
    command("models", "rollback", "--studies", pacs.address, "--data_dir", tmp_path / "data")
    served, answer = infer(client, CT)  # while the server runs
    assert answer["model"]["version"] == 1 and served == first
    assert server.stop()
    server.start()
    served, answer = infer(client, CT)  # by a new process, which has to compute it
    assert answer["model"]["version"] == 1 and served == first
    assert server.stop()


def mask_by_bundle(bundle_dir, data, version: str) -> bytes:
    """Voxels, x fastest, of the mask of a version's weights for the one case of the PACS, without the server."""
    (pet,) = (data / "cache" / "pet").glob("*.nii.gz")
    weights = data / "models" / "igtv" / "versions" / version / "model.pt"
    found = CaseSegmenter(bundle_dir, "cpu").segment(weights, data / "cache" / "ct" / f"{CT}.nii.gz", pet)
    return found.mask.astype(np.uint8).tobytes(order="F")


def ball_on(client, folder):
    """A mask on the CT of the PACS."""
    path = folder / "ct.nii.gz"
    path.write_bytes(
        requests.get(f"{client.get_server_url()}/datastore/image?image={CT}", timeout=TRAINING_LIMIT_S).content
    )
    ct = sitk.ReadImage(str(path))
    z, y, x = np.indices(ct.GetSize()[::-1])
    ball = ((z - 24) * 3.27) ** 2 + ((y - 70) * 0.98) ** 2 + ((x - 90) * 0.98) ** 2 < 400
    mask = sitk.GetImageFromArray(ball.astype(np.uint8))
    mask.CopyInformation(ct)
    sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
    return folder / "mask.nii.gz"


@pytest.mark.parametrize("wrong", ["password", "certificate"])
def test_start_against_a_pacs_that_does_not_let_in(server_process, pacs, certificate, tmp_path, wrong):
    """The server does not start and says why, in one line."""
    environment = {**USER_SETTINGS, **({"MONAI_LABEL_DICOMWEB_PASSWORD": "guessed"} if wrong == "password" else {})}
    conf = ["--conf", "pacs_certificate", str(certificate)] if wrong == "password" else []
    made = server_process(pacs.address, "--data_dir", tmp_path / "data", *conf, environment=environment, name="refused")
    environment = {**os.environ, **made.environment}
    ended = subprocess.run(made.command, env=environment, capture_output=True, text=True, timeout=TRAINING_LIMIT_S)
    said = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 2 and said.startswith("label_app: the PACS does not answer a search")
    words = "it refuses the user 'igtv' or the password" if wrong == "password" else "--conf pacs_certificate FILE"
    assert words in said
