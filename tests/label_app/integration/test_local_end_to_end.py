"""From an empty store to a better model and back: real patients in a folder, the real server, MONAI Label's client.

The tests of this file tell one story in their order; each step is a fixture, so each can also be run alone.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
import SimpleITK as sitk
from monailabel.client import MONAILabelClient

from ..waiting import wait_for
from .conftest import PATIENTS_KEPT_APART, TRAINING_PATIENTS, ServerProcess, command, infer

TRAINING_LIMIT_S = 600
TINY_TRAINING = {"max_epochs": 1, "samples_per_epoch": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def studies(patients, tmp_path_factory) -> Path:
    """A copy: labels and versions of this story must not lie in what other tests copy."""
    return Path(shutil.copytree(patients / "studies", tmp_path_factory.mktemp("story") / "studies"))


@pytest.fixture(scope="module")
def server(server_process, patients, studies) -> ServerProcess:
    """A gate that lets every finite candidate pass: what the gate refuses is tested without a server."""
    frozen = str(patients / "frozen" / "dataset.json")
    conf = {"frozen_set": frozen, "gate_margin": "1.0", "max_case_drop": "1.0", "device": "cpu"}
    options = [part for name, value in conf.items() for part in ("--conf", name, value)]
    server = server_process(studies, *options, name="end_to_end").start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory) -> MONAILabelClient:
    return server.client(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def first_masks(client) -> dict[str, bytes]:
    """Masks of the first version, by patient."""
    return {patient: infer(client, patient)[0] for patient in TRAINING_PATIENTS}


@pytest.fixture(scope="module")
def submitted(client, patients, first_masks) -> list[str]:
    """Cases as the server gave them out, each labelled with its true contour by the next step's annotator."""
    given = []
    for _ in TRAINING_PATIENTS:
        case = client.next_sample("first", {})["id"]
        label_info = {"label_info": [{"name": "igtv", "idx": 1}]}
        answer = client.save_label(case, str(patients / "labels" / f"{case}.nii.gz"), "final", label_info)
        assert answer["image"] == case
        given.append(case)
    return given


@pytest.fixture(scope="module")
def trained(client, submitted) -> dict:
    """Record of a finished fine-tuning."""
    started = client.train_start("igtv", dict(TINY_TRAINING))
    assert started["status"] in ("SUBMITTED", "RUNNING")
    wait_for(lambda: not client.train_status(check_if_running=True), TRAINING_LIMIT_S, "fine-tuning")
    return client.train_status()


def test_list(client, studies):
    info = client.info()
    assert {"igtv", "gtv", "igtv_clicks"} <= set(info["models"])
    assert "demonstration model" in info["models"]["igtv"]["description"]  # said until a label has been learned from
    assert info["labels"][0] == "igtv"
    assert info["datastore"]["total"] == len(TRAINING_PATIENTS)
    listed = requests.get(f"{client.get_server_url()}/datastore/?output=all").json()
    assert set(TRAINING_PATIENTS) <= set(json.dumps(listed).replace('"', " ").split())
    ct = requests.get(f"{client.get_server_url()}/datastore/image?image=STS_002").content
    assert ct == (studies / "STS_002" / "ct.nii.gz").read_bytes()


def test_masks_lie_on_the_ct(client, first_masks, studies):
    ct = sitk.ReadImage(str(studies / "STS_002" / "ct.nii.gz"))
    voxels, answer = infer(client, "STS_002")
    assert answer["size"] == ct.GetSize() and np.allclose(answer["origin"], ct.GetOrigin())
    assert answer["model"]["version"] == 1
    assert voxels == first_masks["STS_002"]  # the same question, the same answer


def test_every_case_is_given_out_once(client, submitted):
    assert sorted(submitted) == sorted(TRAINING_PATIENTS)
    assert client.next_sample("first", {}) == {}


def test_labels_are_stored_with_their_history(submitted, studies, patients):
    label = sitk.ReadImage(str(studies / "igtv" / "labels" / "final" / "STS_012.nii.gz"))
    expected = sitk.ReadImage(str(patients / "labels" / "STS_012.nii.gz"))
    assert np.array_equal(sitk.GetArrayViewFromImage(label) > 0, sitk.GetArrayViewFromImage(expected) > 0)
    trail = [json.loads(line) for line in (studies / "igtv" / "labels" / "audit.jsonl").read_text().splitlines()]
    accepted = [entry for entry in trail if entry.get("case") == "STS_012"]
    assert len(accepted) == 1 and "local" in json.dumps(accepted)
    assert list((studies / "igtv" / "labels" / "history" / "STS_012").glob("*.nii.gz"))


def test_a_label_that_is_none_is_refused(server, submitted, tmp_path):
    """Text, and a mask of another size: the final label stays."""
    (tmp_path / "text.nii.gz").write_bytes(b"no image")
    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkUInt8) + 1, str(tmp_path / "small.nii.gz"))
    for name in ("text", "small"):
        with (tmp_path / f"{name}.nii.gz").open("rb") as file:
            answer = requests.put(f"{server.url}/datastore/label?image=STS_002", files={"label": file})
        assert 400 <= answer.status_code < 500 and answer.json()["detail"]


def test_fine_tuning_makes_a_version_that_is_served(client, trained, studies):
    assert trained["status"] == "DONE", trained
    stats = client.info()["train_stats"]["igtv"]
    assert stats["accepted"] is True and stats["version"] == 2 and stats["epoch"] == 1
    _, answer = infer(client, "STS_002")
    assert answer["model"]["version"] == 2
    listed = command("models", "list", "--studies", studies)
    assert "v0002" in listed
    manifest = json.loads((studies / "igtv" / "models" / "igtv" / "versions" / "v0002" / "manifest.json").read_text())
    learned_from = {entry["patient"] for entry in manifest["data"]}
    assert learned_from <= set(TRAINING_PATIENTS) and not learned_from & set(PATIENTS_KEPT_APART)


def test_roll_back_restores_the_exact_masks(client, trained, first_masks, studies):
    """While the server runs."""
    command("models", "compare", "1", "2", "--studies", studies)
    command("models", "rollback", "1", "--studies", studies)
    for patient, expected in first_masks.items():
        voxels, answer = infer(client, patient)
        assert answer["model"]["version"] == 1
        assert voxels == expected


def test_no_request_left_a_file_behind(client, trained, studies):
    assert list((studies / "igtv" / "temporary").iterdir()) == []


def test_a_killed_server_takes_training_with_it(client, server, trained, first_masks, patients, studies):
    """Nothing goes on training, nothing is published, and the labels are there at the next start."""
    client.save_label("STS_002", str(patients / "labels" / "STS_002.nii.gz"), "final", {"label_info": []})
    current = (studies / "igtv" / "models" / "igtv" / "current.json").read_bytes()
    client.train_start("igtv", {**TINY_TRAINING, "max_epochs": 500})
    children = wait_for(server.children, 60, "the process of the training")
    os.kill(server.process.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert (studies / "igtv" / "models" / "igtv" / "current.json").read_bytes() == current
    server.start()
    assert client.info()["datastore"]["completed"] == len(TRAINING_PATIENTS)
    assert client.next_sample("first", {}) == {}
    # what was rolled back to is current still; the new process computes its masks anew
    voxels, answer = infer(client, "STS_002")
    assert answer["model"]["version"] == 1 and voxels == first_masks["STS_002"]
    assert server.stop()
